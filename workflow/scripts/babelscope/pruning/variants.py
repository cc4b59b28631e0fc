"""Losses under many changes of one model, layer by layer: its weights are never held twice.

Held-out documents pass every layer as each change makes it, and the layer is put back before the next one: no
weights are copied to a GPU. Hidden states wait in the host's memory, of so many documents at a time as there
is room for under all changes; variants pass the output layer together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from babelscope.model.layers import FfnLayer, restored
from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import fit_layers
from babelscope.pruning.cut import prune
from babelscope.pruning.heldout import OutputLayer
from babelscope.pruning.losses import DocumentLosses, join_losses
from babelscope.pruning.walk import LayerWalk
from babelscope.text.tokens import TokenizedCorpus

# Bytes of hidden states that may wait on the host; pinned for a GPU, they take up to twice that.
WAITING_BYTES = 4 * 1024**3


def waiting_bytes(model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray) -> np.ndarray:
    """Bytes of one variant's hidden states, float64 (n_documents,): a value for each token and dimension."""
    lengths = np.diff(corpus.offsets)[document_idx] + int(corpus.bos_token_id >= 0)
    down = model.layers[0].down.weight  # (d_model, d_ff)
    return lengths * float(down.shape[0] * down.element_size())


def group_documents(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    n_variants: int,
    n_bytes: float = WAITING_BYTES,
) -> list[np.ndarray]:
    """Documents, in their order, in groups of so many bytes and one document more at most."""
    each = waiting_bytes(model, corpus, document_idx) * n_variants
    group = np.floor_divide(np.cumsum(each) - each, max(n_bytes, 1.0))
    return [document_idx[group == number] for number in np.unique(group)]


class VariantWalks:
    """The same documents on their way through a model, once for each of its variants.

    Parameters
    ----------
    model : dense; it stays.
    corpus, document_idx : the documents.
    n_variants : how many.

    Attributes
    ----------
    n_parameters : of each variant, in the feed-forward layers that are passed.
    """

    def __init__(
        self, model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray, n_variants: int
    ) -> None:
        self._model, self._documents = model, (corpus, document_idx)
        with torch.inference_mode():
            first = LayerWalk(model, corpus, document_idx, count_special=True, to_end=True)
            self._walks = [first.copy() for _ in range(n_variants)]
        self.n_parameters = [0] * n_variants

    def step(self, changes: Sequence[Callable[[FfnLayer], object]]) -> None:
        """Pass the next layer, as each variant's change makes it out of the layer as it is now."""
        for number, (walk, change) in enumerate(zip(self._walks, changes, strict=True)):
            layer = walk.layer
            with torch.inference_mode(), restored([layer]):
                change(layer)
                self.n_parameters[number] += layer.n_parameters
                walk.step()

    def losses(self) -> list[DocumentLosses]:
        """Of every variant, after the last layer; as ``evaluate_documents``."""
        output = OutputLayer(self._model)
        found = [output.read_walk(*self._documents, walk) for walk in self._walks]
        output.finish()
        return found


def losses_without(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neurons: Sequence[Sequence[np.ndarray]],
    on_progress: Callable[[float], object] = lambda n_layers: None,
    n_bytes: float = WAITING_BYTES,
) -> list[tuple[DocumentLosses, int]]:
    """Losses of documents under several plain removals, and the parameters that each leaves to the layers.

    Parameters
    ----------
    model : dense; it stays.
    corpus, document_idx : the documents.
    neurons : of each removal, for each layer, int64 (n_kept,), ascending; those that stay.
    on_progress : called with layers done, in all as many as the model has.
    n_bytes : of hidden states that wait at a time; decides no result.
    """
    groups = group_documents(model, corpus, document_idx, len(neurons), n_bytes)
    found: list[list[DocumentLosses]] = []
    n_parameters = [0] * len(neurons)
    for group in groups:
        walks = VariantWalks(model, corpus, group, len(neurons))
        for number in range(len(model.layers)):
            walks.step([partial(_keep, kept[number]) for kept in neurons])
            on_progress(1 / len(groups))
        found.append(walks.losses())
        n_parameters = walks.n_parameters
    return list(zip(map(join_losses, zip(*found, strict=True)), n_parameters, strict=True))


def _keep(idx: np.ndarray, layer: FfnLayer) -> None:
    prune([layer], [idx])


def losses_compensated(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neurons: Sequence[np.ndarray],
    fit_idx: np.ndarray,
    on_progress: Callable[[float], object] = lambda n_layers: None,
) -> tuple[DocumentLosses, int]:
    """As ``losses_without`` for one removal, with columns fitted to the documents ``fit_idx``."""
    walks = VariantWalks(model, corpus, document_idx, 1)
    with torch.inference_mode():
        fits = fit_layers(LayerWalk(model, corpus, fit_idx), neurons)
        for layer in model.layers:
            with restored([layer]):
                next(fits)
                walks.step([lambda _layer: None])
            on_progress(1)
    return walks.losses()[0], walks.n_parameters[0]

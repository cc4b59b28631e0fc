"""Losses under many changes of one model, layer by layer: its weights are never held twice.

Held-out documents pass every layer as each change makes it, and the layer is put back before the next one: no
weights are copied to a GPU. Hidden states wait in the host's memory; variants pass the output layer together.
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
from babelscope.pruning.losses import DocumentLosses
from babelscope.pruning.walk import LayerWalk
from babelscope.text.tokens import TokenizedCorpus


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


def walk_pruned(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neurons: Sequence[Sequence[np.ndarray]],
    on_progress: Callable[[int], object] = lambda n_layers: None,
) -> VariantWalks:
    """Documents that have passed all layers of a model under several plain removals.

    Parameters
    ----------
    model : dense; it stays.
    corpus, document_idx : the documents.
    neurons : of each removal, for each layer, int64 (n_kept,), ascending; those that stay.
    on_progress : called with 1 for each layer.
    """
    walks = VariantWalks(model, corpus, document_idx, len(neurons))
    for number in range(len(model.layers)):
        walks.step([partial(_keep, kept[number]) for kept in neurons])
        on_progress(1)
    return walks


def _keep(idx: np.ndarray, layer: FfnLayer) -> None:
    prune([layer], [idx])


def walk_compensated(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neurons: Sequence[np.ndarray],
    fit_idx: np.ndarray,
    on_progress: Callable[[int], object] = lambda n_layers: None,
) -> VariantWalks:
    """As ``walk_pruned`` for one removal, with columns fitted to the documents ``fit_idx``."""
    walks = VariantWalks(model, corpus, document_idx, 1)
    with torch.inference_mode():
        fits = fit_layers(LayerWalk(model, corpus, fit_idx), neurons)
        for layer in model.layers:
            with restored([layer]):
                next(fits)
                walks.step([lambda _layer: None])
            on_progress(1)
    return walks

"""The causal test of selectors: what a language, and what all others, lose with and without the chosen units.

The dense model's hidden states pass the layers once. Out of one Gram matrix per layer come the second-order
order and every compensation; the held-out documents of all languages pass along under each variant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.layers import FfnLayer
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.choice import draw_generator, keep_best
from babelscope.pruning.columns import COMPENSATIONS, apply_edits
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.losses import DocumentLosses
from babelscope.pruning.methods import METHODS
from babelscope.pruning.moments import Moments, gather_moments
from babelscope.pruning.second_order import eliminate
from babelscope.pruning.selectors import SELECTORS, Evidence
from babelscope.pruning.variants import WAITING_BYTES, VariantWalks, waiting_bytes
from babelscope.pruning.walk import LayerWalk
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus, join_corpora

SECOND_ORDER = "second_order"
KEPT, REMOVED = "kept", "removed"


@dataclass(frozen=True)
class CausalSettings:
    """What is tested.

    Attributes
    ----------
    selectors : rows of ``SELECTORS``; none: all.
    shares : of each layer's neurons to keep.
    removed_shares : of each layer's neurons to remove, the rest being kept.
    n_profile : profile documents that moments are taken from.
    n_heldout, n_others : held-out documents of the language, and of each other language.
    n_draws : random draws of the same number per layer.
    seed : of the draws; each language has its own.
    """

    selectors: Sequence[str]
    shares: Sequence[float]
    removed_shares: Sequence[float]
    n_profile: int
    n_heldout: int
    n_others: int
    n_draws: int
    seed: int

    @property
    def names(self) -> list[str]:
        """The selectors that are tested, controls last."""
        chosen = [name for name in SELECTORS if name in self.selectors] if self.selectors else list(SELECTORS)
        return [name for name in chosen if name != "random"]


@dataclass(frozen=True)
class Variant:
    """One way to change the model.

    Attributes
    ----------
    selector, draw : a row of ``SELECTORS``; number of the draw, None where nothing is drawn.
    units : ``kept`` (all others go) or ``removed`` (all others stay).
    share : of each layer's neurons that are selected.
    compensation : a row of ``COMPENSATIONS``.
    """

    selector: str
    draw: int | None
    units: str
    share: float
    compensation: str

    def kept(self, scores: np.ndarray) -> np.ndarray:
        """Neurons of a layer that stay, int64, ascending, out of scores (d_ff,)."""
        selected = keep_best(scores, round(self.share * len(scores)))
        return np.flatnonzero(selected if self.units == KEPT else ~selected)

    def change(self, scores: np.ndarray, moments: Moments, mean: np.ndarray, layer: FfnLayer) -> None:
        """Change a layer in place; ``mean`` is that of its activations, float64 (d_ff,)."""
        compensate = COMPENSATIONS[self.compensation]
        apply_edits([layer], [compensate(moments, mean, self.kept(scores), layer.down.weight)])


def list_variants(settings: CausalSettings) -> list[Variant]:
    """Every selector and draw, kept at every share plainly and compensated, and removed plainly."""
    found = []
    chosen: list[tuple[str, int | None]] = [(name, None) for name in settings.names]
    for selector, draw in chosen + [("random", number) for number in range(settings.n_draws)]:
        ways = [name for name in COMPENSATIONS if name != "bias" or SELECTORS[selector].bias]
        for share in settings.shares:
            found += [Variant(selector, draw, KEPT, share, way) for way in ways]
        found += [Variant(selector, draw, REMOVED, share, "none") for share in settings.removed_shares]
    return found


def run_causal_test(
    info: ModelInfo,
    compute: Compute,
    corpora: Mapping[str, TokenizedCorpus],
    language: str,
    evidence: Evidence,
    settings: CausalSettings,
) -> dict[str, Any]:
    """Held-out losses of all languages under every variant of one language's units.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpora : documents by language, the one whose units are selected among them.
    language : whose units are selected.
    evidence : of that language; what second-order elimination says is added.
    settings : what is tested.

    Returns
    -------
    ``n_predicted``, ``n_bytes`` and ``dense`` (total nats under the dense model): by language of the text one
    value per document. ``cells``: for each variant its attributes, and ``nll`` like ``dense``.
    """
    model = load_model(info, compute)
    heldout = _Heldout(model, corpora, language, settings)
    variants = list_variants(settings)
    heldout.check_room(len(variants))
    walks = VariantWalks(model, heldout.corpus, heldout.every, len(variants))
    dense = heldout.losses()
    result: dict[str, Any] = {
        "n_predicted": heldout.by_text(dense.n_predicted),
        "n_bytes": heldout.by_text(dense.n_bytes),
        "dense": heldout.by_text(dense.nll),
        "cells": [],
    }
    scores = _scores(evidence, language, settings)
    with progress(info.n_layers, "layers", "testing selectors") as bar, torch.inference_mode():
        for n_done in _change_layers(
            model, corpora[language], variants, walks, scores, evidence.own.mean, settings
        ):
            bar.update(n_done)
    for variant, losses in zip(variants, walks.losses(), strict=True):
        result["cells"].append({**vars(variant), "nll": heldout.by_text(losses.nll)})
    return result


class _Heldout:
    """Held-out documents of all languages as one corpus: own ones, and some of each other language."""

    def __init__(
        self,
        model: StudyModel,
        corpora: Mapping[str, TokenizedCorpus],
        language: str,
        settings: CausalSettings,
    ) -> None:
        self.model, self.rows, taken, first = model, {}, [], 0
        for code, corpus in corpora.items():
            n = settings.n_heldout if code == language else settings.n_others
            taken.append(corpus.take(corpus.heldout_idx[:n]))
            self.rows[code] = slice(first, first := first + len(taken[-1].heldout))
        self.corpus = join_corpora(taken)
        self.every = np.arange(len(self.corpus.heldout))

    def check_room(self, n_variants: int) -> None:
        """Refuse more hidden states than the host should hold: a layer's moments serve all documents at once.

        Raises
        ------
        BabelscopeError
            Where they would take more than twice ``WAITING_BYTES``.
        """
        n_bytes = n_variants * float(waiting_bytes(self.model, self.corpus, self.every).sum())
        if n_bytes > 2 * WAITING_BYTES:
            raise BabelscopeError(
                f"the hidden states of {len(self.every)} documents under {n_variants} variants take "
                f"{n_bytes / 1e9:.0f} GB of the host's memory, at most {2 * WAITING_BYTES / 1e9:.0f} are "
                "allowed: read fewer documents (selectors.heldout_documents, selectors.other_documents), or "
                "test fewer selectors or shares"
            )

    def losses(self) -> DocumentLosses:
        """Of the model as it is."""
        return evaluate_documents(self.model, self.corpus, self.every)

    def by_text(self, values: np.ndarray) -> dict[str, list[Any]]:
        """Values of documents by language."""
        return {code: values[rows].tolist() for code, rows in self.rows.items()}


def _scores(
    evidence: Evidence, language: str, settings: CausalSettings
) -> dict[tuple[str, int | None], np.ndarray]:
    """Scores of every selector and draw, (n_layers, d_ff); elimination has its own, layer by layer."""
    shape = evidence.norms.down.shape
    found: dict[tuple[str, int | None], np.ndarray] = {
        (name, None): SELECTORS[name].score(evidence) for name in settings.names if name != SECOND_ORDER
    }
    for number in range(settings.n_draws):
        rng = draw_generator(settings.seed, language, "selectors", number)
        found["random", number] = rng.random(shape)
    return found


def _change_layers(
    model: StudyModel,
    corpus: TokenizedCorpus,
    variants: Sequence[Variant],
    walks: VariantWalks,
    scores: dict[tuple[str, int | None], np.ndarray],
    mean: np.ndarray,
    settings: CausalSettings,
) -> Iterator[int]:
    """Take each variant's held-out documents through its changed layer, for one layer after the other.

    A layer changes for one variant at a time and is put back, so that the weights are never held twice; what
    becomes of it needs no other place to wait. Yields 1 for each layer.
    """
    documents = corpus.profile_idx[: settings.n_profile]
    # the same for all selectors: what serves compensation best
    tokens = METHODS[SECOND_ORDER].settings(str(model.module.config.model_type))  # type: ignore[union-attr]
    dense = LayerWalk(model, corpus, documents, tokens.first_token)
    for layer, ffn in enumerate(model.layers):
        moments = gather_moments(dense, tokens).whole
        rows = {key: table[layer] for key, table in scores.items()}
        if SECOND_ORDER in settings.names:
            rows[SECOND_ORDER, None] = eliminate(moments.gram, ffn.down.weight, ffn.d_ff).rank(ffn.d_ff)
        found = [rows[variant.selector, variant.draw] for variant in variants]
        walks.step(
            [partial(v.change, row, moments, mean[layer]) for v, row in zip(variants, found, strict=True)]
        )
        dense.step()
        yield 1

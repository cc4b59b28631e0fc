"""What was tried to make compensated models better and is no part of the library: see benchmarks/README.md.

A pass over attention's output projection, ridge least squares towards what it says in the dense model out of
the inputs that it gets in the pruned one; layer budgets by what the loss says about each layer; and selection
by errors as the loss feels them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel
from babelscope.pruning.blocks import CaughtBatch, call_block
from babelscope.pruning.budgets import by_equal_error, equal
from babelscope.pruning.columns import Edit, apply_edits
from babelscope.pruning.compensation import (
    _LIKELY,
    RIDGES,
    Choose,
    FitSettings,
    _fit_layer,
    correct_columns,
)
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.moments import Moments, MomentSettings, RidgeProblem, gather_moments
from babelscope.pruning.second_order import GROUP, RIDGE, choose_second_order, eliminate
from babelscope.pruning.selectors import Evidence, Removals
from babelscope.pruning.walk import VALIDATION_SHARE, LayerWalk
from babelscope.text.tokens import TokenizedCorpus

# Names of the output projection within a block, by family.
_NAMES = ("self_attn.o_proj", "self_attn.out_proj", "attention.dense", "self_attention.dense", "attn.c_proj")


def output_projection(block: nn.Module) -> nn.Linear | None:
    """Of a block's attention; None where none of the known names is there."""
    for name in _NAMES:
        try:
            return block.get_submodule(name)  # type: ignore[return-value]
        except AttributeError:
            continue
    return None


class AttentionMoments:
    """Of one block's projection: Gram matrix of its inputs, and the dense outputs."""

    def __init__(self, walk: LayerWalk, settings: MomentSettings) -> None:
        self.projection = output_projection(walk.model.blocks[walk.number])
        assert self.projection is not None
        weight = self.projection.weight
        self.parts = [Moments.zeros(weight.shape[1], weight.device) for _ in range(2)]
        block, number = walk.model.blocks[walk.number], walk.number

        def caught(batch: CaughtBatch, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen: list[Any] = []
            assert self.projection is not None
            hook = self.projection.register_forward_hook(lambda _m, args, out: seen.append((args[0], out)))
            try:
                call_block(block, replace(batch, hidden=hidden), number)
            finally:
                hook.remove()
            return seen[0]

        def see(batch: CaughtBatch) -> None:
            assert batch.dense is not None
            inputs, wanted = caught(batch, batch.hidden)[0], caught(batch, batch.dense)[1]
            for number_of_part, total in enumerate(self.parts):
                chosen = (batch.part == number_of_part)[:, None]
                real = torch.from_numpy(batch.real & chosen).to(inputs.device)
                rows, said = inputs[real].float(), wanted[real].float()
                if settings.relative:
                    scale = 1 / said.norm(dim=1, keepdim=True).clamp_min(1e-6)
                    rows, said = rows * scale, said * scale
                total.add(rows, Moments.tiles(rows), said)

        walk._run(see)
        for part in self.parts:
            part.mirror()

    def correct(self) -> float:
        """Put the corrected projection in; return the ridge, 0 where the old one was better."""
        assert self.projection is not None
        weight = self.projection.weight
        every = np.arange(weight.shape[1])
        fit, validation = (RidgeProblem.of(part, every, weight) for part in self.parts)
        errors = [validation.unexplained(fit.solve(ridge)) for ridge in (*RIDGES, 10.0, 30.0)]
        best = int(np.argmin(errors))
        if errors[best] >= 1:
            return 0.0
        ridge = (*RIDGES, 10.0, 30.0)[best]
        correction = (fit + validation).solve(ridge)
        self.projection.weight = nn.Parameter(
            (weight.double() + correction.T).to(weight.dtype), requires_grad=False
        )
        return ridge


@contextmanager
def restored_attention(model: Any) -> Iterator[None]:
    """Put the attention's output projections back at the end."""
    own = [(module, module.weight) for module in map(output_projection, model.blocks) if module is not None]
    yield
    for module, weight in own:
        module.weight = weight


def prune_with_attention(
    model: Any, corpus: Any, profile: np.ndarray, neurons: Any, settings: Any
) -> tuple[list[Any], list[float]]:
    """As ``prune_and_compensate``, with a correction of each attention's output before its layer is cut."""
    fits: list[Any] = []
    ridges = []
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, profile, settings.first_token, True)
        for number in range(len(model.layers)):
            found = AttentionMoments(walk, settings)
            walk.listen()  # the dense states pass the block before it changes
            if not settings.to_dense:
                for batch in walk._batches:
                    batch.said = None
            ridges.append(found.correct() if number else 0.0)  # nothing has changed before the first
            likely = fits[-1] if fits else _LIKELY
            fits.append(_fit_layer(walk, neurons, likely, replace(settings, to_dense=False)))
            walk.step(fits[-1].kept)
    return fits, ridges


def halfway(evidence: Evidence, share: float) -> np.ndarray:
    """Neurons to keep, int (n_layers,), halfway between equal sizes and those of equal marginal error."""
    return np.round((equal(evidence, share) + by_equal_error(evidence, share)) / 2).astype(int)


def beyond(evidence: Evidence, share: float) -> np.ndarray:
    """Neurons to keep, int (n_layers,), twice as far from equal sizes as those of equal marginal error."""
    sizes = 2 * by_equal_error(evidence, share) - equal(evidence, share)
    return np.clip(sizes, 16, evidence.norms.down.shape[1])


CANDIDATE_BUDGETS = {
    "half_error": halfway,
    "half_cost": halfway,
    "double_cost": beyond,
    "equal_cost": by_equal_error,
    "equal_loss": by_equal_error,
}


def choose_by_metrics(
    sizes: Sequence[int] | np.ndarray,
    metrics: Sequence[torch.Tensor],
    ridge: float = RIDGE,
    group: int = GROUP,
) -> Choose:
    """As ``choose_second_order``, with errors as ``loss_budgets.output_metrics`` sees them."""
    choose = choose_second_order(sizes, ridge, group)

    def seen(number: int, moments: Moments, weight: torch.Tensor) -> np.ndarray:
        return choose(number, moments, metrics[number].to(weight.device) @ weight.double())

    return seen


def measure_sensitivity(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: FitSettings,
    share: float,
) -> tuple[Removals, np.ndarray]:
    """Eliminate all neurons of every layer of the dense model, the errors in nats per token; the model stays.

    Each layer alone is cut to ``share`` of its neurons and compensated, and the loss of the validation
    documents is measured: its rise, over the relative error of the layer's output, turns the errors along the
    layer's order into nats. A rise below a tenth of the mean rise counts as that much.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; every fifth of them is for validation.
    settings : which tokens count.
    share : of each layer's neurons.

    Returns
    -------
    Orders and errors, and the rise of every layer, float64 (n_layers,).
    """
    rank, error, edits, at_share = [], [], [], []
    held = np.asarray(document_idx)[::VALIDATION_SHARE]
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, document_idx, settings.first_token)
        for layer in model.layers:
            moments, weight = gather_moments(walk, settings), layer.down.weight
            found = eliminate(moments.whole.gram, weight, layer.d_ff)
            rank.append(found.rank(layer.d_ff))
            error.append(found.errors(layer.d_ff))
            n_kept = round(share * layer.d_ff)
            kept = np.flatnonzero(rank[-1] >= layer.d_ff - n_kept)
            at_share.append(float(found.error[: layer.d_ff - n_kept].sum()))
            columns, _ = correct_columns(moments, kept, weight)
            edits.append(Edit(kept, columns.to(weight.dtype)))
            walk.step()
    dense, rises = evaluate_documents(model, corpus, held).mean_nll, []
    for number, edit in enumerate(edits):
        with model.restored():
            apply_edits(model.layers[number : number + 1], [edit])
            rises.append(evaluate_documents(model, corpus, held).mean_nll - dense)
    rise = np.maximum(rises, 0.1 * max(float(np.mean(rises)), 1e-6))
    scale = rise / np.maximum(at_share, 1e-12)
    return Removals(np.stack(rank), np.stack(error) * scale[:, None]), np.array(rises)

"""Compensation: the kept neurons of a layer take over what the removed ones said.

For each layer, from the first to the last and through the layers already pruned, the columns of the down
projection that are kept are corrected by ridge least squares,

    min over D of  sum_t |W_R h_Rt - D h_Kt|^2 + ridge * sum_i s_i |D_i|^2,

where ``h_t`` are the activations of token t in that layer, K the kept and R the removed neurons, W the down
projection; ``W_K + D`` replaces ``W_K``. The penalty ``s_i`` of a column is the geometric mean of its own
second moment and of the layer's mean second moment: between ridge on raw and on standardised activations,
and better than either. The ridge of each layer is chosen on every fifth of the profile documents, which the
choice has not been fitted to; the columns are then fitted to all of them. Held-out documents are never
touched. The pruned model gets no new parameters.

A bias was tried and made held-out loss worse, as did statistics of the dense model for all layers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.load import FfnLayer, base_model, find_blocks, input_device
from babelscope.pruning.cut import prune
from babelscope.text.batches import make_batches
from babelscope.text.tokens import TokenizedCorpus

RIDGES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
VALIDATION_SHARE = 5


@dataclass(frozen=True)
class LayerFit:
    """What the fit of one layer says.

    Attributes
    ----------
    ridge : chosen, without unit; 0 where nothing was fitted.
    unexplained : share of the removed neurons' squared output that the corrected columns leave missing, on
        the validation documents; 1 is plain removal.
    """

    ridge: float = 0.0
    unexplained: float = 1.0


def prune_and_compensate(
    model: nn.Module,
    layers: Sequence[FfnLayer],
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neuron_idx: Sequence[np.ndarray],
    tokens_per_batch: int,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> list[LayerFit]:
    """Prune the model in place, and correct the kept columns of every down projection.

    The hidden states of all documents are kept in memory: n_tokens x d_model values.

    Parameters
    ----------
    model, layers : with all neurons; changed in place.
    corpus, document_idx : profile documents that the statistics are taken from.
    neuron_idx : neurons to keep in each layer, int64 (n_kept,), ascending.
    tokens_per_batch : rows x length of a batch.
    on_progress : called with tokens done; in all, each token is counted once for every layer.

    Returns
    -------
    The fit of every layer, in order.
    """
    blocks = find_blocks(model)
    fits = []
    with torch.inference_mode():
        batches = list(_catch(model, blocks, corpus, document_idx, tokens_per_batch))
        for number, (block, layer, idx) in enumerate(zip(blocks, layers, neuron_idx, strict=True)):
            fits.append(_fit_layer(block, number, layer, idx, batches))
            for batch in batches:
                batch.hidden = _call(block, batch, number)
                on_progress(int(batch.real.sum()))
    return fits


@dataclass
class _CaughtBatch:
    """Hidden states on their way through the blocks, with the arguments that each block is called with."""

    hidden: torch.Tensor  # (document, position, d_model)
    real: torch.Tensor  # bool (document, position)
    validation: torch.Tensor  # bool (document,)
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]


class _Moments:
    """Second moments of the kept activations, and with them of the output that removal loses."""

    def __init__(self, n_kept: int, d_model: int, device: torch.device) -> None:
        self.gram = torch.zeros((n_kept, n_kept), dtype=torch.float64, device=device)
        self.target = torch.zeros((n_kept, d_model), dtype=torch.float64, device=device)
        self.lost = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, kept: torch.Tensor, lost: torch.Tensor) -> None:
        """Add tokens: kept activations (n_tokens, n_kept), lost output (n_tokens, d_model), float32."""
        self.gram += kept.T @ kept
        self.target += kept.T @ lost
        self.lost += lost.square().sum()

    def __add__(self, other: _Moments) -> _Moments:
        n_kept, d_model = self.target.shape
        total = _Moments(n_kept, d_model, self.gram.device)
        total.gram = self.gram + other.gram
        total.target = self.target + other.target
        total.lost = self.lost + other.lost
        return total

    def solve(self, ridge: float) -> torch.Tensor:
        """Corrections of the kept columns, float64 (n_kept, d_model)."""
        own = self.gram.diagonal()
        floor = 1e-6 * own.mean().clamp_min(1e-30)  # a neuron that never fires has no moment of its own
        penalty = (own.clamp_min(floor) * own.mean().clamp_min(1e-30)).sqrt()
        factor = torch.linalg.cholesky(self.gram + torch.diag(ridge * penalty))
        return torch.cholesky_solve(self.target, factor)

    def unexplained(self, correction: torch.Tensor) -> float:
        """Squared error of the output with this correction, relative to plain removal."""
        explained = 2 * (correction * self.target).sum() - (correction * (self.gram @ correction)).sum()
        return float(1 - explained / self.lost.clamp_min(1e-30))


def _fit_layer(
    block: nn.Module, number: int, layer: FfnLayer, idx: np.ndarray, batches: Sequence[_CaughtBatch]
) -> LayerFit:
    """Cut one layer and put the corrected columns in place."""
    if len(idx) in (0, layer.d_ff):
        prune([layer], [idx])
        return LayerFit()
    weight = layer.down.weight
    kept = torch.from_numpy(np.asarray(idx, dtype=np.int64)).to(weight.device)
    removed = torch.ones(layer.d_ff, dtype=torch.bool, device=weight.device).index_fill(0, kept, False)
    removed_columns = weight[:, removed].float()  # (d_model, n_removed)
    moments = [_Moments(len(kept), weight.shape[0], weight.device) for _ in range(2)]
    for batch in batches:
        activations = _activations(block, layer, batch, number)
        for part, chosen in enumerate((~batch.validation, batch.validation)):
            rows = activations[(batch.real & chosen[:, None]).to(activations.device)].float()
            if len(rows):
                moments[part].add(rows[:, kept], rows[:, removed] @ removed_columns.T)
    fit, validation = moments
    unexplained, ridge = min((validation.unexplained(fit.solve(ridge)), ridge) for ridge in RIDGES)
    columns = weight[:, kept].double() + (fit + validation).solve(ridge).T
    prune([layer], [idx])
    layer.down.weight = nn.Parameter(columns.to(weight.dtype), requires_grad=False)
    return LayerFit(ridge, unexplained)


def _catch(
    model: nn.Module,
    blocks: nn.ModuleList,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    tokens_per_batch: int,
) -> Iterator[_CaughtBatch]:
    """The first block's hidden states and every block's arguments, for each batch."""
    device = input_device(model)
    rank = {int(idx): number for number, idx in enumerate(document_idx)}
    with _stepped_over(model, blocks) as calls:
        for batch in make_batches(corpus, document_idx, tokens_per_batch):
            calls.clear()
            base_model(model)(input_ids=torch.from_numpy(batch.token_ids).to(device), use_cache=False)
            args, kwargs = calls[0]
            hidden = args[0] if args else kwargs["hidden_states"]
            arguments = [_without_hidden(*call) for call in calls]
            validation = [rank[int(idx)] % VALIDATION_SHARE == 0 for idx in batch.document_idx]
            real = torch.from_numpy(batch.real_mask()).to(device)
            yield _CaughtBatch(hidden, real, torch.tensor(validation, device=device), arguments)


@contextmanager
def _stepped_over(
    model: nn.Module, blocks: nn.ModuleList
) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Let the blocks pass their input on and note their arguments, which do not depend on hidden states."""
    outputs: list[Any] = []
    probe = blocks[0].register_forward_hook(lambda _module, _args, output: outputs.append(output))
    try:
        base_model(model)(
            input_ids=torch.zeros((1, 1), dtype=torch.long, device=input_device(model)), use_cache=False
        )
    finally:
        probe.remove()
    in_tuple = isinstance(outputs[0], tuple)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *outputs[0][1:]) if in_tuple else hidden

    for block in blocks:
        block.forward = forward
    try:
        yield calls
    finally:
        for block in blocks:
            del block.forward


def _without_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}


def _call(block: nn.Module, batch: _CaughtBatch, number: int) -> torch.Tensor:
    args, kwargs = batch.arguments[number]
    output = block(batch.hidden, *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


def _activations(block: nn.Module, layer: FfnLayer, batch: _CaughtBatch, number: int) -> torch.Tensor:
    """What enters the down projection, (document, position, neuron)."""
    seen: list[torch.Tensor] = []
    hook = layer.down.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    try:
        _call(block, batch, number)
    finally:
        hook.remove()
    return seen[0].reshape(*batch.real.shape, -1)

"""Compensation: the kept neurons of a layer take over the output of the removed ones.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.layers import FfnLayer
from babelscope.model.load import StudyModel
from babelscope.pruning.cut import prune
from babelscope.study.progress import logger
from babelscope.text.batches import Batch
from babelscope.text.fitting import fits, halve_budget, run_batches
from babelscope.text.tokens import TokenizedCorpus

RIDGES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
VALIDATION_SHARE = 5


@dataclass(frozen=True)
class LayerFit:
    """Result of the fit of one layer.

    Attributes
    ----------
    ridge : chosen, without unit; 0 where nothing was fitted.
    unexplained : share of the removed neurons' squared output that the corrected columns leave missing, on
        the validation documents; 1 is plain removal.
    """

    ridge: float = 0.0
    unexplained: float = 1.0


def prune_and_compensate(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neuron_idx: Sequence[np.ndarray],
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> list[LayerFit]:
    """Prune the model in place, and correct the kept columns of every down projection.

    The hidden states of all documents wait in the host's memory: n_tokens x d_model values. What does not fit
    on the GPU is worked through in smaller parts; moments that do not fit are solved on the host.

    Parameters
    ----------
    model : with all neurons; changed in place.
    corpus, document_idx : profile documents that the statistics are taken from.
    neuron_idx : neurons to keep in each layer, int64 (n_kept,), ascending.
    on_progress : called with tokens done; in all, each token is counted once for every layer.

    Returns
    -------
    The fit of every layer, in order.
    """
    found: list[LayerFit] = []
    with torch.inference_mode():
        catcher = _Catcher(model)
        rank = {int(idx): number for number, idx in enumerate(document_idx)}
        batches: list[_CaughtBatch] = []

        def catch(batch: Batch) -> None:
            validation = [rank[int(idx)] % VALIDATION_SHARE == 0 for idx in batch.document_idx]
            batches.append(catcher.catch(batch.token_ids, batch.real_mask(), np.array(validation)))

        run_batches(model, corpus, document_idx, catch)
        parts = zip(model.blocks, model.layers, neuron_idx, strict=True)
        for number, (block, layer, idx) in enumerate(parts):
            likely = found[-1].ridge if found else RIDGES[len(RIDGES) // 2]
            fit, batches = _fit_layer(catcher, block, number, layer, idx, batches, likely)
            found.append(fit)

            def pass_on(batch: _CaughtBatch, block: nn.Module = block, number: int = number) -> None:
                batch.hidden.copy_(_call(block, batch, number))

            batches = _each(catcher, batches, pass_on)
            on_progress(sum(int(batch.real.sum()) for batch in batches))
    return found


@dataclass
class _CaughtBatch:
    """Hidden states on their way through the blocks, with the arguments that each block is called with."""

    token_ids: np.ndarray  # int64 (document, position)
    hidden: torch.Tensor  # (document, position, d_model), on the host
    device: torch.device  # where the blocks take it
    real: np.ndarray  # bool (document, position)
    validation: np.ndarray  # bool (document,)
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]


class _Catcher:
    """Gives the hidden states that enter the first block, and the arguments of every block."""

    def __init__(self, model: StudyModel) -> None:
        self.model, self.blocks = model, model.blocks
        outputs: list[Any] = []
        probe = self.blocks[0].register_forward_hook(lambda _module, _args, output: outputs.append(output))
        try:
            model.hidden(np.zeros((1, 1), dtype=np.int64))
        finally:
            probe.remove()
        # what a block returns in addition to the hidden states; None where it returns these alone
        self._beside = outputs[0][1:] if isinstance(outputs[0], tuple) else None

    def catch(self, token_ids: np.ndarray, real: np.ndarray, validation: np.ndarray) -> _CaughtBatch:
        """Let the blocks pass their input on and note their arguments, which do not depend on it."""
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            hidden = args[0] if args else kwargs["hidden_states"]
            return hidden if self._beside is None else (hidden, *self._beside)

        own = [block.__dict__.get("forward") for block in self.blocks]  # accelerate puts one there
        for block in self.blocks:
            block.forward = forward
        try:
            self.model.hidden(token_ids)
        finally:
            for block, before in zip(self.blocks, own, strict=True):
                del block.forward
                if before is not None:
                    block.forward = before
        args, kwargs = calls[0]
        hidden = args[0] if args else kwargs["hidden_states"]
        arguments = [_without_hidden(*call) for call in calls]
        # pinned: copies to and from a GPU run several times faster
        host = torch.empty(hidden.shape, dtype=hidden.dtype, pin_memory=hidden.device.type == "cuda")
        return _CaughtBatch(token_ids, host.copy_(hidden), hidden.device, real, validation, arguments)

    def halves(self, batch: _CaughtBatch) -> list[_CaughtBatch]:
        """The batch as two of half its documents, as far on their way as it is.

        Raises
        ------
        BabelscopeError
            Where it holds one document alone.
        """
        n_documents, length = batch.token_ids.shape
        # smaller than two documents is the end of halving
        halve_budget(n_documents * length, length)
        parts = []
        for rows in (slice(None, n_documents // 2), slice(n_documents // 2, None)):
            part = self.catch(batch.token_ids[rows], batch.real[rows], batch.validation[rows])
            part.hidden.copy_(batch.hidden[rows])
            parts.append(part)
        return parts


def _each(
    catcher: _Catcher, batches: Sequence[_CaughtBatch], run: Callable[[_CaughtBatch], object]
) -> list[_CaughtBatch]:
    """Run every batch, those that do not fit in halves; return the batches that were run, in order."""
    waiting, done = list(reversed(batches)), []
    while waiting:
        batch = waiting.pop()
        if fits(run, batch):
            done.append(batch)
        else:
            waiting += reversed(catcher.halves(batch))
    return done


class _Moments:
    """Second moments of the kept activations, and with them of the output that removal loses."""

    def __init__(self, n_kept: int, d_model: int, device: torch.device) -> None:
        self.gram = torch.zeros((n_kept, n_kept), dtype=torch.float64, device=device)
        self.target = torch.zeros((n_kept, d_model), dtype=torch.float64, device=device)
        self.lost = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, products: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
        """Add what ``products`` made of some tokens."""
        for total, new in zip((self.gram, self.target, self.lost), products, strict=True):
            total += new

    @staticmethod
    def products(kept: torch.Tensor, lost: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of kept activations (n_tokens, n_kept) and lost output (n_tokens, d_model), float32."""
        return kept.T @ kept, kept.T @ lost, lost.square().sum()

    @classmethod
    def sum_of(cls, one: _Moments, other: _Moments) -> _Moments:
        """The moments of the tokens of both."""
        total = cls(0, 0, one.gram.device)
        total.gram, total.target = one.gram + other.gram, one.target + other.target
        total.lost = one.lost + other.lost
        return total

    def to(self, device: torch.device | str) -> None:
        """Move to a device, in place, one table after the other."""
        self.gram = self.gram.to(device)
        self.target = self.target.to(device)
        self.lost = self.lost.to(device)

    def solve(self, ridge: float) -> torch.Tensor:
        """Corrections of the kept columns, float64 (n_kept, d_model)."""
        own = self.gram.diagonal()
        floor = 1e-6 * own.mean().clamp_min(1e-30)  # a neuron that never fires has no moment of its own
        penalty = (own.clamp_min(floor) * own.mean().clamp_min(1e-30)).sqrt()
        ridged = self.gram.clone()
        ridged.diagonal().add_(ridge * penalty)
        return torch.cholesky_solve(self.target, torch.linalg.cholesky(ridged))

    def unexplained(self, correction: torch.Tensor) -> float:
        """Squared error of the output with this correction, relative to plain removal."""
        explained = 2 * (correction * self.target).sum() - (correction * (self.gram @ correction)).sum()
        return float(1 - explained / self.lost.clamp_min(1e-30))


def _fit_layer(
    catcher: _Catcher,
    block: nn.Module,
    number: int,
    layer: FfnLayer,
    idx: np.ndarray,
    batches: list[_CaughtBatch],
    likely: float,
) -> tuple[LayerFit, list[_CaughtBatch]]:
    """Cut one layer and put the corrected columns in place; also returns the batches that fitted.

    ``likely`` is the ridge of the layer before.
    """
    if len(idx) in (0, layer.d_ff):
        prune([layer], [idx])
        return LayerFit(), batches
    weight = layer.down.weight
    kept = torch.from_numpy(np.asarray(idx, dtype=np.int64)).to(weight.device)
    removed = torch.ones(layer.d_ff, dtype=torch.bool, device=weight.device).index_fill(0, kept, False)
    removed_columns = weight[:, removed].float()  # (d_model, n_removed)
    moments = [_Moments(len(kept), weight.shape[0], weight.device) for _ in range(2)]

    def add(batch: _CaughtBatch) -> None:
        activations = _activations(block, layer, batch, number)
        new = []
        for chosen in (~batch.validation, batch.validation):
            mask = torch.from_numpy(batch.real & chosen[:, None]).to(activations.device)
            rows = activations[mask].float()
            lost = rows[:, removed] @ removed_columns.T
            new.append(_Moments.products(rows[:, kept], lost) if len(rows) else None)
        # nothing is added before all of it is there: a batch that runs out of memory comes again
        for total, products in zip(moments, new, strict=True):
            if products is not None:
                total.add(products)

    batches = _each(catcher, batches, add)
    fit, validation = moments
    solution: list[tuple[float, float, torch.Tensor]] = []
    if not fits(lambda pair: solution.append(_choose(pair[0], pair[1], likely)), (fit, validation)):
        logger.info("out of GPU memory: layer %d is solved on the host", number)
        for part in moments:
            part.to("cpu")
        solution.append(_choose(fit, validation, likely))
    unexplained, ridge, correction = solution[0]
    columns = weight[:, kept].double() + correction.T.to(weight.device)
    prune([layer], [idx])
    layer.down.weight = nn.Parameter(columns.to(weight.dtype), requires_grad=False)
    return LayerFit(ridge, unexplained), batches


def _choose(fit: _Moments, validation: _Moments, likely: float) -> tuple[float, float, torch.Tensor]:
    """Unexplained share and ridge of the best ridge, and the correction fitted to all tokens with it.

    The search goes downhill from the likely ridge: the validation error has one minimum along the ridges.
    """
    start = RIDGES.index(likely) if likely in RIDGES else 0  # a layer that is not cut has none
    best, unexplained = find_lowest(lambda idx: validation.unexplained(fit.solve(RIDGES[idx])), start)
    return unexplained, RIDGES[best], _Moments.sum_of(fit, validation).solve(RIDGES[best])


def find_lowest(value: Callable[[int], float], start: int, n: int = len(RIDGES)) -> tuple[int, float]:
    """Index and value of the lowest of ``value(0) ... value(n - 1)``, which fall and then rise.

    Each is asked for once at most, from ``start`` downhill to the first that is not lower.
    """
    known = {start: value(start)}
    best = start
    for step in (1, -1):
        while 0 <= best + step < n:
            known[best + step] = value(best + step)
            if known[best + step] >= known[best]:
                break
            best += step
        if best != start:
            break
    return best, known[best]


def _without_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}


def _call(block: nn.Module, batch: _CaughtBatch, number: int) -> torch.Tensor:
    args, kwargs = batch.arguments[number]
    output = block(batch.hidden.to(batch.device), *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


def _activations(block: nn.Module, layer: FfnLayer, batch: _CaughtBatch, number: int) -> torch.Tensor:
    """Input of the down projection, (document, position, neuron); the projection itself is left out."""
    seen: list[torch.Tensor] = []
    down: Any = layer.down
    d_model = down.weight.shape[0]

    def forward(activations: torch.Tensor) -> torch.Tensor:
        seen.append(activations)
        return activations.new_zeros((*activations.shape[:-1], d_model))

    own = down.__dict__.get("forward")  # accelerate puts one there
    down.forward = forward
    try:
        _call(block, batch, number)
    finally:
        del down.forward
        if own is not None:
            down.forward = own
    return seen[0].reshape(*batch.real.shape, -1)

"""Compensation: the kept neurons of a layer take over the output of the removed ones.

For each layer, from the first to the last and through the layers already pruned, the columns of the down
projection that are kept are corrected by ridge least squares,

    min over D of  sum_t |W_R h_Rt - D h_Kt|^2 + ridge * sum_i s_i |D_i|^2,

where ``h_t`` are the activations of token t in that layer, K the kept and R the removed neurons, W the down
projection; ``W_K + D`` replaces ``W_K``. The penalties ``s_i`` are those of ``moments.penalties``. The ridge
is chosen on every fifth of the profile documents, which the choice has not been fitted to, in one layer of
three, and holds for those that follow; the columns are then fitted to all documents. Held-out documents are
never touched. The pruned model gets no new parameters.

Everything follows from the Gram matrix of the layer's activations, whatever was kept, as in GRAIL (arXiv
2602.23795), FASP (arXiv 2501.09412) and Olica (ICML 2025), which fold a least-squares solution of this kind
into the projection that reads the pruned neurons. What differs from GRAIL: its ridge, one number for all
columns and layers, draws the map from kept to removed activations to zero; this one draws the correction to
zero, with a penalty for each column and a strength that is chosen on the way through the layers.

Other languages' text says much of the same about how neurons go together, and there is more of it: where its
documents are given, each of their tokens counts as ``weight`` of an own one, the weight of each layer being
chosen with the ridge.

A bias was tried and made held-out loss worse, as did statistics of the dense model for all layers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel
from babelscope.pruning.cut import prune
from babelscope.pruning.moments import LayerMoments, Moments, MomentSettings, RidgeProblem, gather_moments
from babelscope.pruning.walk import LayerWalk
from babelscope.study.progress import logger
from babelscope.text.fitting import fits
from babelscope.text.tokens import TokenizedCorpus

# The ridge is chosen in one layer of so many: from one to the next it changes little (benchmarks/README.md).
CHOSEN_EVERY = 3
RIDGES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)

# The neurons that a layer keeps, int64 (n_kept,), ascending: out of its number, the moments of its
# activations, which it may overwrite, and its down projection (d_model, d_ff).
Choose = Callable[[int, Moments, torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class FitSettings(MomentSettings):
    """How columns are fitted.

    Attributes
    ----------
    first_token, relative : see ``MomentSettings``.
    to_dense : whether the columns are fitted to what the dense model's layer says, which makes good what
        earlier layers changed; otherwise to what the layer itself says with all its neurons.
    ridge : of all layers; None: chosen in one layer of ``CHOSEN_EVERY``.
    """

    to_dense: bool = False
    ridge: float | None = None


@dataclass(frozen=True)
class LayerFit:
    """Result of the fit of one layer.

    Attributes
    ----------
    ridge : without unit; 0 where nothing was fitted.
    unexplained : share of the removed neurons' squared output that the corrected columns leave missing, on
        the validation documents; 1 is plain removal. None where the ridge is that of a layer before.
    kept : int64 (n_kept,), neurons that stayed, ascending.
    weight : of a token of another language; 0 where none was pooled in.
    """

    ridge: float = 0.0
    unexplained: float | None = 1.0
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    weight: float = 0.0


# What the search begins with in the first layer.
_LIKELY = LayerFit(RIDGES[len(RIDGES) // 2], weight=WEIGHTS[len(WEIGHTS) // 2])


def prune_and_compensate(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neurons: Sequence[np.ndarray] | Choose,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
    settings: FitSettings = FitSettings(),
    pooled_idx: np.ndarray | None = None,
) -> list[LayerFit]:
    """Prune the model in place, and correct the kept columns of every down projection.

    The hidden states of all documents wait in the host's memory: n_tokens x d_model values. What does not fit
    on the GPU is worked through in smaller parts; moments that do not fit are solved on the host.

    Parameters
    ----------
    model : with all neurons; changed in place.
    corpus, document_idx : profile documents that the statistics are taken from.
    neurons : to keep in each layer, int64 (n_kept,), ascending; or what chooses them out of what the layer
        says in the model that is pruned up to it.
    on_progress : called with tokens done; in all, each token is counted once for every layer.
    settings : how columns are fitted.
    pooled_idx : documents of other languages in the same corpus, not with ``settings.to_dense``.

    Returns
    -------
    The fit of every layer, in order.
    """
    found: list[LayerFit] = []
    with torch.inference_mode():
        tokens = (settings.first_token, settings.to_dense)
        walk = LayerWalk(model, corpus, document_idx, *tokens, pooled_idx)
        for fit in fit_layers(walk, neurons, settings):
            found.append(fit)
            on_progress(walk.n_tokens)
    return found


def fit_layers(
    walk: LayerWalk, neurons: Sequence[np.ndarray] | Choose, settings: FitSettings = FitSettings()
) -> Iterator[LayerFit]:
    """As ``prune_and_compensate``, of documents on a walk, layer by layer, without gradients.

    Each layer has been passed when its fit is given, and may be put back then.
    """
    likely, n_left = _LIKELY, 0
    for number in range(len(walk.model.layers)):
        chosen = neurons if callable(neurons) else neurons[number]
        fit = _fit_layer(walk, chosen, likely, settings, search=n_left == 0)
        walk.step(fit.kept)
        yield fit
        if fit.ridge:  # a layer that is not cut has none
            likely, n_left = fit, (n_left or CHOSEN_EVERY) - 1


def _fit_layer(
    walk: LayerWalk, neurons: np.ndarray | Choose, likely: LayerFit, settings: FitSettings, search: bool
) -> LayerFit:
    """Cut the next layer and put the corrected columns in.

    ``likely`` is the fit of a layer before, from which ``search`` starts; its ridge and weight without.
    """
    layer, number = walk.layer, walk.number
    if settings.to_dense:
        walk.listen()
    if not callable(neurons) and len(neurons) in (0, layer.d_ff):
        prune([layer], [neurons])
        return LayerFit(kept=np.asarray(neurons))
    weight = layer.down.weight
    moments = gather_moments(walk, settings)
    found: list[tuple[torch.Tensor, LayerFit]] = []

    def solve(moments: LayerMoments) -> None:
        # the sum of the moments is given up again before columns are solved
        idx = neurons(number, moments.weighted(likely.weight), weight) if callable(neurons) else neurons
        found.append(correct_columns(moments, idx, weight, likely, settings.ridge, search))

    solve_where_it_fits(walk, moments, solve)
    columns, fit = found[0]
    prune([layer], [fit.kept])
    layer.down.weight = nn.Parameter(columns.to(weight.device, weight.dtype), requires_grad=False)
    return fit


def solve_where_it_fits(
    walk: LayerWalk, moments: LayerMoments, solve: Callable[[LayerMoments], object]
) -> None:
    """Call ``solve`` with the moments of a walk's next layer; where memory runs out, on the host.

    What the walk keeps makes room first. A call that runs out of memory must leave nothing behind.
    """
    if not fits(solve, moments) and not (walk.forget() and fits(solve, moments)):
        logger.info("out of GPU memory: layer %d is solved on the host", walk.number)
        solve(moments.to("cpu"))


def correct_columns(
    moments: LayerMoments,
    kept: np.ndarray,
    weight: torch.Tensor,
    likely: LayerFit = _LIKELY,
    ridge: float | None = None,
    search: bool = True,
) -> tuple[torch.Tensor, LayerFit]:
    """Corrected columns of the down projection, float64 (d_model, n_kept), and how they were found.

    ``weight`` is the down projection (d_model, d_ff), ``kept`` int64 (n_kept,).

    The search for the ridge, and for the weight of other languages, goes downhill from ``likely``: the
    validation error has one minimum along each. The correction is fitted to all tokens with the best ones;
    without ``search`` with those of ``likely``. ``ridge``: with this one in any case.
    """
    idx = torch.from_numpy(np.asarray(kept, dtype=np.int64)).to(weight.device)
    if len(kept) in (0, weight.shape[1]):
        return weight[:, idx].double(), LayerFit(kept=kept)
    if search:
        whole, fit = _search(moments, kept, weight, likely, RIDGES if ridge is None else (ridge,))
    else:
        whole = RidgeProblem.of(moments.weighted(likely.weight), kept, weight)
        fit = LayerFit(likely.ridge if ridge is None else ridge, None, kept, likely.weight)
    correction = whole.solve(fit.ridge).T
    return weight[:, idx].double() + correction.to(weight.device), fit


def _search(
    moments: LayerMoments, kept: np.ndarray, weight: torch.Tensor, likely: LayerFit, ridges: Sequence[float]
) -> tuple[RidgeProblem, LayerFit]:
    """The problem of all tokens; the ridge and the other languages' weight of the lowest validation error."""
    fit, validation = (RidgeProblem.of(part, kept, weight) for part in (moments.fit, moments.validation))
    pooled = None if moments.pooled is None else RidgeProblem.of(moments.pooled, kept, weight)
    best: dict[int, int] = {}

    def lowest(number: int) -> float:
        """Of all ridges, with the ``number``-th weight."""
        problem = fit if pooled is None else fit + WEIGHTS[number] * pooled
        first = ridges.index(likely.ridge) if likely.ridge in ridges else 0
        start = next(reversed(best.values()), first)
        best[number], error = find_lowest(
            lambda n: validation.unexplained(problem.solve(ridges[n], torch.float32)), start, len(ridges)
        )
        return error

    start = WEIGHTS.index(likely.weight) if pooled is not None else 0
    chosen, unexplained = find_lowest(lowest, start, 1 if pooled is None else len(WEIGHTS))
    share, whole = WEIGHTS[chosen], fit + validation
    if pooled is not None:
        whole = whole + share * pooled
    return whole, LayerFit(ridges[best[chosen]], unexplained, kept, share)


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

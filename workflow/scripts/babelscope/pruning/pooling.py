"""Moments of other languages pooled in: their text counts with a weight that the own validation documents choose.

The columns of a layer are fitted to a few thousand tokens of one language. Other languages' text says much of
the same about how neurons go together, and there is more of it. For each layer

    min over D of  E_own(D) + weight * E_others(D) + ridge * sum_i s_i |D_i|^2,

with the squared errors E of ``compensation``; weight and ridge are those with the lowest error on every fifth
profile document of the language itself. Weight 0 is ``compensation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import RIDGES, Choose, FitSettings, LayerFit, find_lowest
from babelscope.pruning.cut import prune
from babelscope.pruning.moments import Moments, RidgeProblem
from babelscope.pruning.blocks import CaughtBatch
from babelscope.pruning.walk import VALIDATION_SHARE, LayerWalk
from babelscope.text.batches import Batch
from babelscope.text.fitting import run_batches
from babelscope.text.tokens import TokenizedCorpus

WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
FIT, VALIDATION, OTHERS = range(3)


@dataclass(frozen=True)
class PooledFit(LayerFit):
    """As ``LayerFit``, with the weight of the other languages' tokens."""

    weight: float = 0.0


class PooledWalk(LayerWalk):
    """Documents of a language and of others on their way; ``validation`` of a batch numbers their part."""

    def __init__(
        self,
        model: StudyModel,
        corpus: TokenizedCorpus,
        own_idx: np.ndarray,
        other_idx: np.ndarray,
        count_special: bool,
    ) -> None:
        super().__init__(model, corpus, own_idx[:0], count_special)
        part = {int(idx): int(rank % VALIDATION_SHARE == 0) for rank, idx in enumerate(own_idx)}
        part |= dict.fromkeys(map(int, other_idx), OTHERS)

        def catch(batch: Batch) -> None:
            parts = np.array([part[int(idx)] for idx in batch.document_idx])
            self._batches.append(
                self._catcher.catch(batch.token_ids, batch.real_mask(count_special), parts)
            )

        run_batches(model, corpus, np.concatenate([own_idx, other_idx]), catch)


def gather_parts(walk: PooledWalk, settings: FitSettings) -> list[Moments]:
    """Moments of the next layer: of what is fitted, of validation, of the other languages."""
    down = walk.layer.down.weight
    parts = [Moments.zeros(down.shape[1], down.device) for _ in range(3)]

    def see(batch: CaughtBatch, activations: torch.Tensor) -> None:
        new = []
        for number in range(3):
            real = torch.from_numpy(batch.real & (batch.validation == number)[:, None])
            rows = activations[real.to(activations.device)].float()
            if settings.relative:
                rows = rows / (rows @ down.float().T).norm(dim=1, keepdim=True).clamp_min(1e-6)
            new.append((rows, Moments.tiles(rows)))
        for total, added in zip(parts, new, strict=True):
            total.add(*added)

    walk.look(see)
    for part in parts:
        part.mirror()
    return parts


def weighted(moments: Moments, weight: float) -> Moments:
    """The moments of tokens that count ``weight`` times."""
    return replace(moments, gram=weight * moments.gram, total=weight * moments.total)


def prune_pooled(
    model: StudyModel,
    corpus: TokenizedCorpus,
    own_idx: np.ndarray,
    other_idx: np.ndarray,
    choose: Choose,
    settings: FitSettings,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> list[PooledFit]:
    """As ``compensation.prune_and_compensate``, with documents of other languages.

    Parameters
    ----------
    model : with all neurons; changed in place.
    corpus, own_idx, other_idx : profile documents of the language and of others, in one corpus.
    choose, settings, on_progress : as there.
    """
    found: list[PooledFit] = []
    with torch.inference_mode():
        walk = PooledWalk(model, corpus, own_idx, other_idx, settings.first_token)
        for _ in model.layers:
            likely = found[-1] if found else PooledFit(ridge=RIDGES[len(RIDGES) // 2], weight=0.1)
            found.append(_fit_layer(walk, choose, likely, settings))
            walk.step(found[-1].kept)
            on_progress(walk.n_tokens)
    return found


def _fit_layer(walk: PooledWalk, choose: Choose, likely: PooledFit, settings: FitSettings) -> PooledFit:
    layer, weight = walk.layer, walk.layer.down.weight
    fitted, validation, others = gather_parts(walk, settings)
    kept = choose(walk.number, fitted + validation + weighted(others, likely.weight), weight)
    problems = [RidgeProblem.of(part, kept, weight) for part in (fitted, validation, others)]

    def pooled(own: RidgeProblem, share: float) -> RidgeProblem:
        return RidgeProblem(
            own.gram + share * problems[OTHERS].gram,
            own.target + share * problems[OTHERS].target,
            own.lost + share * problems[OTHERS].lost,
        )

    ridge_of: dict[int, int] = {}

    def best_ridge(number: int) -> float:
        problem = pooled(problems[FIT], WEIGHTS[number])
        start = next(iter(reversed(ridge_of.values())), RIDGES.index(likely.ridge))
        ridge_of[number], error = find_lowest(
            lambda idx: problems[VALIDATION].unexplained(problem.solve(RIDGES[idx])), start
        )
        return error

    chosen, unexplained = find_lowest(best_ridge, WEIGHTS.index(likely.weight), len(WEIGHTS))
    share, ridge = WEIGHTS[chosen], RIDGES[ridge_of[chosen]]
    correction = pooled(problems[FIT] + problems[VALIDATION], share).solve(ridge)
    idx = torch.from_numpy(kept).to(weight.device)
    columns = weight[:, idx].double() + correction.T
    prune([layer], [kept])
    layer.down.weight = nn.Parameter(columns.to(weight.dtype), requires_grad=False)
    return PooledFit(ridge, unexplained, kept, share)

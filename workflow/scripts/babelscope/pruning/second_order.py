"""Second-order selection: neurons go in the order in which the layer's output misses them least.

The increase of a layer's squared output error, once the columns that stay are corrected, follows from the
Gram matrix G of its activations alone (optimal brain surgeon, Hassibi and Stork 1993): without neuron i it is

    |w_i|^2 / [inverse of (G + P)]_ii,

with w_i the column of the down projection as corrected so far and P the ridge's penalties. SlimGPT (Ling et
al. 2024, arXiv 2412.18110) takes attention heads and neurons away by this, greedily and in groups. What
differs here: a group is eliminated as one block, exactly; the ridge has a penalty for each column; and
``compensation`` fits the columns once more at the end, with a ridge chosen on documents of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from babelscope.model.load import StudyModel
from babelscope.pruning.moments import Moments, MomentSettings, gather_moments, penalties
from babelscope.pruning.selectors import Removals
from babelscope.pruning.walk import LayerWalk
from babelscope.text.tokens import TokenizedCorpus

GROUP = 64
# Of the elimination. From 0.003 to 0.1 it makes no difference of note, and 1 is worse (benchmarks/README.md).
RIDGE = 0.03
_LEAST_HALVED = 256  # size from which a matrix is inverted by halves
_WAITING = 1024  # removed neurons whose update of the inverse waits: mostly, until nobody asks for it


@dataclass(frozen=True)
class Elimination:
    """In which order the neurons of a layer go, and what it costs.

    Attributes
    ----------
    order : int64 (n_removed,), neurons, the first to go first.
    error : float64 (n_removed,), increase of the squared output error with each, as ``eliminate`` was asked:
        a share of the layer's squared output, or itself; the greedy order makes it rise but for ties within
        a group.
    """

    order: torch.Tensor
    error: torch.Tensor

    def rank(self, d_ff: int) -> np.ndarray:
        """Place of every neuron in the order, float64 (d_ff,); what stays is behind all."""
        return self._by_neuron(np.arange(len(self.order), dtype=np.float64), d_ff, fill=d_ff)

    def errors(self, d_ff: int) -> np.ndarray:
        """``error`` by neuron, float64 (d_ff,); infinite for what stays."""
        return self._by_neuron(self.error.cpu().numpy(), d_ff, fill=np.inf)

    def _by_neuron(self, values: np.ndarray, d_ff: int, fill: float) -> np.ndarray:
        found = np.full(d_ff, fill, dtype=np.float64)
        found[self.order.cpu().numpy()] = values
        return found


def eliminate(
    gram: torch.Tensor,
    weight: torch.Tensor,
    n_removed: int,
    ridge: float = RIDGE,
    group: int = GROUP,
    *,
    as_shares: bool = True,
    overwrite: bool = False,
) -> Elimination:
    """Take neurons away, those that the output misses least first.

    Parameters
    ----------
    gram : float64 (d_ff, d_ff), sum of ``h h'`` over tokens.
    weight : (d_model, d_ff), the down projection.
    n_removed : neurons to take away.
    ridge : of the corrections, in units of ``penalties``; above 0.
    group : neurons that go at once, between two updates of the inverse.
    as_shares : whether errors are shares of the layer's squared output, which takes another product.
    overwrite : whether ``gram`` is no longer needed: no copy is made.

    Returns
    -------
    The order is nested: the first n of it are what a smaller ``n_removed`` gives, but for the last group.
    """
    # (d_ff, d_model): what is read of a neuron lies together
    columns = weight.to(gram.device, torch.float64).T.clone(memory_format=torch.contiguous_format)
    whole = (columns * (gram @ columns)).sum().clamp_min(1e-30) if as_shares else 1.0
    inverse = gram if overwrite else gram.clone()
    inverse.diagonal().add_(ridge * penalties(gram))
    inverse = _inverse(inverse)
    diagonal = inverse.diagonal().clone()
    # what has yet to be taken off the inverse, left.T @ right: rows of it are made when they are asked for
    left, right = (inverse.new_empty((min(n_removed, _WAITING + group), len(gram))) for _ in range(2))
    n_waiting = 0
    gone = torch.zeros(len(gram), dtype=torch.bool, device=gram.device)
    order = [torch.zeros(0, dtype=torch.int64, device=gram.device)]
    error = [gram.new_zeros(0)]
    while (n_left := n_removed - sum(map(len, order))) > 0:
        increase = torch.linalg.vector_norm(columns, dim=1).square() / diagonal.clamp_min(1e-300)
        increase[gone] = torch.inf
        least = torch.sort(increase, stable=True)
        idx = least.indices[: min(group, n_left)]
        order.append(idx)
        error.append(least.values[: len(idx)] / whole)
        gone[idx] = True
        waiting = slice(n_waiting)
        # (n, d_ff), of the inverse as it is
        rows = inverse[idx].addmm_(left[waiting, idx].T, right[waiting], alpha=-1)
        new = torch.linalg.solve(rows[:, idx], rows)
        columns.addmm_(new.T, columns[idx], alpha=-1)
        diagonal -= (rows * new).sum(dim=0)
        left[n_waiting : n_waiting + len(idx)], right[n_waiting : n_waiting + len(idx)] = rows, new
        n_waiting += len(idx)
        if n_waiting >= _WAITING:
            inverse.addmm_(left[:n_waiting].T, right[:n_waiting], alpha=-1)
            n_waiting = 0
    return Elimination(torch.cat(order), torch.cat(error))


def _inverse(matrix: torch.Tensor) -> torch.Tensor:
    """Inverse of a symmetric positive definite matrix (n, n), which is no longer there afterwards.

    On a GPU, whose memory is scarce, it takes the matrix's place. On a processor by halves and the Schur
    complement of one of them, so that nearly all of it are products: they run at twice the rate of LAPACK's
    factorisation and inverse.
    """
    n = len(matrix)
    if matrix.is_cuda:
        by_columns = matrix.T  # as the solvers want it; being symmetric, it is the same
        torch.linalg.cholesky(by_columns, out=by_columns)
        torch.cholesky_inverse(by_columns, out=by_columns)
        return matrix
    if n <= _LEAST_HALVED:
        return torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    one, two = slice(n // 2), slice(n // 2, n)
    found = torch.empty_like(matrix)
    first = _inverse(matrix[one, one])
    across = first @ matrix[one, two]
    found[two, two] = _inverse(torch.addmm(matrix[two, two], across.T, matrix[one, two], alpha=-1))
    found[one, two] = -across @ found[two, two]
    found[two, one] = found[one, two].T
    found[one, one] = first.addmm_(found[one, two], across.T, alpha=-1)
    return found


def choose_second_order(
    sizes: Sequence[int] | np.ndarray, ridge: float = RIDGE, group: int = GROUP
) -> Callable[[int, Moments, torch.Tensor], np.ndarray]:
    """What chooses neurons in ``compensation.prune_and_compensate``: ``sizes[l]`` of layer l stay.

    The Gram matrix that it is given is no longer there afterwards.
    """

    def choose(number: int, moments: Moments, weight: torch.Tensor) -> np.ndarray:
        d_ff = weight.shape[1]
        n_removed = d_ff - int(sizes[number])
        asked = (n_removed, ridge, group)
        order = eliminate(moments.gram, weight, *asked, as_shares=False, overwrite=True).order
        return np.setdiff1d(np.arange(d_ff), order.cpu().numpy())

    return choose


def measure_removals(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: MomentSettings,
) -> Removals:
    """Eliminate all neurons of every layer of the dense model, for orders and budgets; the model stays.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents.
    settings : which tokens count.
    """
    rank, error = [], []
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, document_idx, settings.first_token)
        for layer in model.layers:
            moments = gather_moments(walk, settings).whole
            found = eliminate(moments.gram, layer.down.weight, layer.d_ff, overwrite=True)
            rank.append(found.rank(layer.d_ff))
            error.append(found.errors(layer.d_ff))
            walk.step()
    return Removals(np.stack(rank), np.stack(error))

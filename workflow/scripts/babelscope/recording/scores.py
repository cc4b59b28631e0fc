"""Expert scores, z-scores, selection and counting: the definitions of DESIGN.md on torch tensors.

Nothing here knows of a model: tensors in, tensors out, on the device where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from babelscope.recording.gpu_trials import usable

# Added to the variance so that a constant row gives 0 / tiny = 0 and not 0 / 0; far below any real variance.
_TINY_VARIANCE = float(np.finfo(np.float32).tiny)
# One row has to fit into the registers of one thread block.
_MAX_KERNEL_CELLS = 32768
# Tokens whose activations of a layer, or z-scores of all layers, stay in a core's cache.
_CPU_TILE = 128


@dataclass(frozen=True)
class ExpertLayout:
    """An order of one layer's neurons in which expert scores are sums of whole slices.

    Neurons stand member by member: the first neuron of every expert, then the second of every expert, and
    so on, so that a sum over members adds contiguous vectors. Where sizes are ragged, the larger experts
    have one neuron more, at the end.

    Attributes
    ----------
    order : int64 (d_ff,), ``h[..., order]`` is in layout order.
    expert_order : int64 (n_experts,), position of expert ``e`` among the summed experts; None: identity.
    n_experts, n_members : experts, and neurons of the smaller experts.
    """

    order: torch.Tensor
    expert_order: torch.Tensor | None
    n_experts: int
    n_members: int

    @classmethod
    def from_labels(cls, labels: np.ndarray, n_experts: int) -> ExpertLayout:
        """Make the layout of one layer from its labels, int (d_ff,)."""
        sizes = np.bincount(labels, minlength=n_experts)
        n_members = int(sizes.min())
        large_first = np.argsort(-sizes, kind="stable")
        rank = np.empty(n_experts, dtype=np.int64)
        rank[large_first] = np.arange(n_experts)
        by_expert = np.argsort(rank[labels], kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes[large_first])[:-1]])
        member = np.arange(len(labels)) - np.repeat(starts, sizes[large_first])
        order = by_expert[np.lexsort((rank[labels][by_expert], member))]
        ragged = bool(sizes.max() > n_members)
        return cls(
            torch.from_numpy(order.astype(np.int64)),
            torch.from_numpy(rank) if ragged else None,
            n_experts,
            n_members,
        )

    def to(self, device: torch.device) -> ExpertLayout:
        """The same layout with its indices on ``device``."""
        expert_order = None if self.expert_order is None else self.expert_order.to(device)
        return ExpertLayout(self.order.to(device), expert_order, self.n_experts, self.n_members)


def score_experts(ordered: torch.Tensor, layout: ExpertLayout) -> torch.Tensor:
    """Expert scores ``s = sum of the activations of the expert's neurons`` (signed, as in the paper).

    Parameters
    ----------
    ordered : (n_tokens, d_ff), activations with the neurons already in ``layout.order``.

    Returns
    -------
    float32 (n_tokens, n_experts), accumulated in float32 at least.
    """
    n_tokens, n_even = ordered.shape[0], layout.n_members * layout.n_experts
    if ordered.device.type == "cpu":
        ordered = ordered.float()  # sums of half precision are slow there
    even = ordered[:, :n_even].unflatten(1, (layout.n_members, layout.n_experts))  # (token, member, expert)
    scores = even.sum(dim=1, dtype=torch.float32)
    if layout.expert_order is None:
        return scores
    scores[:, : ordered.shape[1] - n_even] += ordered[:, n_even:]
    return scores.index_select(1, layout.expert_order).reshape(n_tokens, layout.n_experts)


# What an expert's score may be. The signed sum is the paper's; it changes when a neuron's up row and down
# column change their signs, though the model computes the same. The others do not.
SCORES = ("signed", "absolute", "output_norm")


def expert_grams(ordered: torch.Tensor, layout: ExpertLayout) -> torch.Tensor:
    """Inner products of the down columns of each expert's neurons, for ``norm_experts``.

    Parameters
    ----------
    ordered : (d_model, d_ff), down columns of the neurons in ``layout.order``.

    Returns
    -------
    float32 (n_experts, n_members + 1, n_members + 1), experts in the layout's order, zeros where an expert
    has no further neuron.
    """
    columns = _by_member(ordered.float(), layout)
    columns = columns.permute(2, 1, 0)  # (expert, member, d_model)
    return columns @ columns.transpose(1, 2)


def expert_indicator(layouts: Sequence[ExpertLayout], places: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Which expert each neuron belongs to, of several partitions side by side, for ``sum_by_product``.

    Parameters
    ----------
    layouts : of the partitions of one layer. places : for each int64 (d_ff,), where the neurons of its order
        stand; None: in this order.

    Returns
    -------
    bool (d_ff, sum of n_experts).
    """
    columns = []
    for layout, place in zip(layouts, places, strict=True):
        d_ff = len(layout.order)
        expert = torch.arange(d_ff, device=layout.order.device) % layout.n_experts
        n_even = layout.n_members * layout.n_experts
        expert[n_even:] = torch.arange(d_ff - n_even, device=expert.device)  # larger experts come first
        if layout.expert_order is not None:
            expert = torch.argsort(layout.expert_order)[expert]
        column = torch.zeros((d_ff, layout.n_experts), dtype=torch.bool, device=expert.device)
        stands = torch.arange(d_ff, device=expert.device) if place is None else place
        column[stands, expert] = True
        columns.append(column)
    return torch.cat(columns, dim=1)


def sum_by_product(activations: torch.Tensor, indicator: torch.Tensor) -> torch.Tensor:
    """Expert scores of several partitions in one product, on a GPU: half precision in, added in float32.

    A product with zeros and ones reads the activations once; each partition's gather writes them again.

    Parameters
    ----------
    activations : half precision (n_tokens, d_ff). indicator : of ``expert_indicator``, in the same type.

    Returns
    -------
    float32 (n_tokens, sum of n_experts).
    """
    if activations.is_cuda:
        return torch.mm(activations, indicator, out_dtype=torch.float32)
    return activations.float() @ indicator.float()


def norm_experts(ordered: torch.Tensor, layout: ExpertLayout, grams: torch.Tensor) -> torch.Tensor:
    """Norm of what each expert adds to the layer's output: ``|sum over its neurons of h_i down[:, i]|``.

    Parameters
    ----------
    ordered, layout : see ``score_experts``. grams : of ``expert_grams``.

    Returns
    -------
    float32 (n_tokens, n_experts).
    """
    members = _by_member(ordered.float(), layout).permute(2, 0, 1)  # (expert, token, member)
    squares = ((members @ grams.to(members.device)) * members).sum(dim=2).T  # (token, expert)
    norms = squares.clamp_min(0.0).sqrt()  # rounding can make an empty output negative; NaN stays NaN
    return norms if layout.expert_order is None else norms.index_select(1, layout.expert_order)


def _by_member(ordered: torch.Tensor, layout: ExpertLayout) -> torch.Tensor:
    """Values in layout order as (row, member, expert), with one member more, which is zero where none is."""
    n_rows, n_even = ordered.shape[0], layout.n_members * layout.n_experts
    table = ordered.new_zeros((n_rows, layout.n_members + 1, layout.n_experts))
    table[:, : layout.n_members] = ordered[:, :n_even].unflatten(1, (layout.n_members, layout.n_experts))
    table[:, layout.n_members, : ordered.shape[1] - n_even] = ordered[:, n_even:]
    return table


def standardise(scores: torch.Tensor) -> torch.Tensor:
    """z-scores over the last axis with the population standard deviation; a constant row gives zeros.

    Parameters
    ----------
    scores : float32 (..., n_experts).

    Returns
    -------
    float32 of the same shape. A row with NaN or infinite scores is NaN in every place.
    """
    return functional.layer_norm(scores, scores.shape[-1:], eps=_TINY_VARIANCE)


def select_active(z: torch.Tensor, top_k: int) -> torch.Tensor:
    """The ``top_k`` largest of every row; ties go to the lower index.

    Parameters
    ----------
    z : float32 (n_tokens, n_layers * n_experts).

    Returns
    -------
    bool of the same shape with exactly ``top_k`` true values a row (rows with NaN: any number).
    """
    if z.device.type == "cpu":
        return _select_on_cpu(z, top_k).bool()
    if z.device.type == "cuda" and z.shape[1] <= _MAX_KERNEL_CELLS and usable("selection"):
        from babelscope.recording.select_kernel import select_active_kernel

        return select_active_kernel(z.contiguous(), top_k)
    return _above_or_first(z, z.topk(top_k, dim=1, sorted=False).values.amin(dim=1, keepdim=True), top_k)


def count_active(z: torch.Tensor, top_k: int, membership: torch.Tensor) -> torch.Tensor:
    """Count the tokens of every block for which each expert is active.

    Parameters
    ----------
    z, top_k : see ``select_active``.
    membership : float32 (n_blocks, n_tokens), 1 where the token belongs to the block, 0 elsewhere and in the
        columns of tokens that are not counted.

    Returns
    -------
    int64 (n_blocks, n_layers * n_experts). Exact for fewer than 2**24 tokens: sums of ones in float32.
    """
    if z.device.type == "cuda" and usable("product"):
        # zeros and ones are exact in half precision, and the product adds them in float32
        active = select_active(z, top_k).half()
        return sum_by_product(membership.half(), active).round().to(torch.int64)
    counts = torch.zeros((membership.shape[0], z.shape[1]), dtype=torch.float32, device=z.device)
    for tile in token_tiles(len(z), z.device):
        part = z[tile]
        active = _select_on_cpu(part, top_k) if z.device.type == "cpu" else select_active(part, top_k).float()
        counts.addmm_(membership[:, tile], active)
    return counts.round().to(torch.int64)


def token_tiles(n_tokens: int, device: torch.device) -> list[slice]:
    """Slices of a batch that stay in the cache of a CPU while they are processed; on a GPU all of it."""
    step = _CPU_TILE if device.type == "cpu" else max(n_tokens, 1)
    return [slice(start, start + step) for start in range(0, n_tokens, step)]


def _select_on_cpu(z: torch.Tensor, top_k: int) -> torch.Tensor:
    """Ones and zeros in float32 in place of a bool: four times as fast to make, and ready to be summed."""
    n_below = z.shape[1] - top_k
    # numpy's vectorised quickselect takes half of the time of torch.topk here
    ordered = np.partition(z.numpy(), n_below, axis=1)
    cut = torch.from_numpy(ordered[:, n_below : n_below + 1].copy())  # (token, 1)
    active = torch.ge(z, cut, out=torch.empty_like(z))
    if n_below:
        tied = torch.from_numpy(ordered[:, :n_below].max(axis=1)) == cut[:, 0]
        if tied.any():
            active[tied] = _above_or_first(z[tied], cut[tied], top_k).float()
    return active


def _above_or_first(z: torch.Tensor, cut: torch.Tensor, top_k: int) -> torch.Tensor:
    """Scores above the cut, and the first of those equal to it, ``top_k`` in all."""
    above = z > cut
    at_cut = z == cut
    n_left = top_k - above.sum(dim=1, keepdim=True, dtype=torch.int32)
    return above | (at_cut & (at_cut.cumsum(dim=1, dtype=torch.int32) <= n_left))

"""Expert scores, z-scores, selection and counting: the definitions of DESIGN.md on torch tensors.

Nothing here knows of a model: tensors in, tensors out, on the device where they lie.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

# Added to the variance so that a constant row gives 0 / tiny = 0 and not 0 / 0; far below any real variance.
_TINY_VARIANCE = float(np.finfo(np.float32).tiny)
_HAS_TRITON = importlib.util.find_spec("triton") is not None
# One row has to fit into the registers of one thread block.
_MAX_KERNEL_CELLS = 32768


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
    even = ordered[:, :n_even].unflatten(1, (layout.n_members, layout.n_experts))  # (token, member, expert)
    scores = even.sum(dim=1, dtype=torch.float32)
    if layout.expert_order is None:
        return scores
    scores[:, : ordered.shape[1] - n_even] += ordered[:, n_even:]
    return scores.index_select(1, layout.expert_order).reshape(n_tokens, layout.n_experts)


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
    if z.device.type == "cuda" and _HAS_TRITON and z.shape[1] <= _MAX_KERNEL_CELLS:
        from babelscope.select_kernel import select_active_kernel

        return select_active_kernel(z.contiguous(), top_k)
    cut = _kth_largest(z, top_k)  # (token, 1)
    above = z > cut
    at_cut = z == cut
    n_left = top_k - above.sum(dim=1, keepdim=True, dtype=torch.int32)
    return above | (at_cut & (at_cut.cumsum(dim=1, dtype=torch.int32) <= n_left))


def _kth_largest(z: torch.Tensor, top_k: int) -> torch.Tensor:
    """Value of the ``top_k``-th largest entry of every row, (n_tokens, 1), by selection, never by a sort."""
    if z.device.type == "cpu":
        # numpy's vectorised quickselect takes half of the time of torch.topk here
        nth = z.shape[1] - top_k
        return torch.from_numpy(np.partition(z.numpy(), nth, axis=1)[:, nth : nth + 1].copy())
    return z.topk(top_k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)


def count_active(active: torch.Tensor, membership: torch.Tensor) -> torch.Tensor:
    """Count active experts per block.

    Parameters
    ----------
    active : bool (n_tokens, n_cells).
    membership : float32 (n_blocks, n_tokens), 1 where the token belongs to the block, 0 elsewhere and in the
        columns of padding and special tokens.

    Returns
    -------
    int64 (n_blocks, n_cells). Exact: sums of ones below 2**24 in float32.
    """
    return (membership @ active.to(membership.dtype)).round().to(torch.int64)

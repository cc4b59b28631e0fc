"""Selection of the active experts on a GPU as one kernel: a row stays in registers from first to last.

torch.topk sorts what it selects and the tie rule needs three more passes over the table of z-scores; here
the cut is found by bisection over the bits of the z-scores, and the row is read once and written once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _select_row(z_ptr, active_ptr, n_cells, top_k, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cell = tl.arange(0, block)
    inside = cell < n_cells
    z = tl.load(z_ptr + row * n_cells + cell, mask=inside, other=float("-inf"))
    z = tl.where(z == 0.0, 0.0, z)  # -0.0 and 0.0 are one value and must be one key
    bits = z.to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # order of the floats as signed integers
    # largest cut with at least top_k keys at or above it, one bit after the other from the sign down
    cut = tl.where(tl.sum((key >= 0).to(tl.int32)) >= top_k, 0, -2147483648)
    for step in range(31):
        candidate = cut + (1 << (30 - step))
        enough = tl.sum((key >= candidate).to(tl.int32)) >= top_k
        cut = tl.where(enough, candidate, cut)
    above = key > cut
    at_cut = (key == cut) & inside
    n_left = top_k - tl.sum(above.to(tl.int32))
    active = above | (at_cut & (tl.cumsum(at_cut.to(tl.int32), 0) <= n_left))
    tl.store(active_ptr + row * n_cells + cell, active.to(tl.int8), mask=inside)


def select_active_kernel(z: torch.Tensor, top_k: int) -> torch.Tensor:
    """The ``top_k`` largest of every row on a GPU; ties go to the lower index.

    Parameters
    ----------
    z : float32 (n_tokens, n_cells), contiguous, on a GPU.

    Returns
    -------
    bool of the same shape.
    """
    active = torch.empty(z.shape, dtype=torch.int8, device=z.device)
    block = triton.next_power_of_2(z.shape[1])
    n_warps = min(16, max(4, block // 1024))
    with on_device_of(z):
        _select_row[(z.shape[0],)](z, active, z.shape[1], top_k, block=block, num_warps=n_warps)
    return active.view(torch.bool)


def on_device_of(values: torch.Tensor) -> torch.cuda.device:
    """Kernels run on the GPU of these values; without one, in Triton's interpreter, nothing changes."""
    return torch.cuda.device(values.device if values.is_cuda else -1)

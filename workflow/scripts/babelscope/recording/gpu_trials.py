"""Which of our own ways to compute can be used on this machine's GPU: each is tried once per process.

Triton needs a compiler for C and a driver that fits, and a product with another type of result needs a newer
torch. Where one is missing, or gives anything else than torch's own operations on a small example, these are
used in its place: they are slower and say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from babelscope.study.progress import logger


def _example(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations (3, 20, 150) of half precision, whole numbers so that sums are exact, and what counts."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-9, 10, (3, 20, 150), generator=generator).to(torch.bfloat16)
    return values.to(device), (torch.rand((3, 20), generator=generator) > 0.3).to(device)


def _try_selection(device: str) -> bool:
    from babelscope.recording.select_kernel import select_active_kernel

    z = _example(device)[0].float().flatten(1)
    z = z + torch.arange(z.shape[1], device=device) / z.shape[1]  # no two are equal
    cut = z.topk(100, dim=1).values[:, -1:]
    return torch.equal(select_active_kernel(z.contiguous(), 100), z >= cut)


def _try_sums(device: str) -> bool:
    from babelscope.recording.document_kernels import sum_by_document

    values, counted = _example(device)
    own = values.float() * counted[:, :, None]
    expected = torch.stack([own.sum(1), own.square().sum(1), own.abs().sum(1)])
    signs = (own > 0).sum(1, dtype=torch.float32)[None]
    found = [sum_by_document(values, counted, signs=how) for how in (False, True)]
    return torch.equal(found[0], expected) and torch.equal(found[1], signs)


def _try_best(device: str) -> bool:
    from babelscope.recording.document_kernels import best_by_document

    values, counted = _example(device)
    document = torch.tensor([5, 2, 9], device=device)
    key, _, score = best_by_document(values, counted, document, 1, 2, signed=False)
    size = (values.float().abs() * counted[:, :, None]).amax(1)  # (document, unit)
    expected = size.sort(dim=0, descending=True).values[:2]
    order = key.sort(dim=0, descending=True).indices
    return torch.equal(score.abs().gather(0, order), expected)


def _try_product(device: str) -> bool:
    from babelscope.recording.scores import sum_by_product

    rows = _example(device)[0].flatten(0, 1)
    ones = (torch.arange(150, device=device)[:, None] % 10 == torch.arange(10, device=device)).to(rows.dtype)
    return torch.equal(sum_by_product(rows, ones), rows.float() @ ones.float())


TRIALS: dict[str, Callable[[str], bool]] = {
    "selection": _try_selection,
    "sums": _try_sums,
    "best tokens": _try_best,
    "product": _try_product,
}


@cache
def usable(name: str, device: str = "cuda") -> bool:
    """Whether the row ``name`` of ``TRIALS`` works here and gives what it should; said once where not."""
    try:
        works, why = TRIALS[name](device), "another result"
    # compilers and drivers fail in many ways, and none of them may end a recording
    except Exception as error:
        works, why = False, f"{type(error).__name__}: {error}"
    if not works:
        logger.info("GPU, %s: slower operations of torch are used (%s)", name, why.splitlines()[0][:200])
    return works

"""Kernels for sums and best tokens equal torch's own operations; without a GPU Triton interprets them."""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton", reason="comes with a torch for GPUs")

from babelscope.recording import document_kernels, gpu_trials, token_finder  # noqa: E402
from babelscope.recording.neuron_tap import _sum_in_passes  # noqa: E402

SHAPES = [(7, 37, 300), (3, 1, 5), (11, 130, 129), (1, 16, 128)]


def make(shape, dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    wide = torch.randn((*shape[:2], 2 * shape[2]), generator=generator).to(dtype).to(DEVICE)
    counted = torch.rand(shape[:2], generator=generator) > 0.3
    counted[:, 0] = shape[1] == 1  # a special token, which does not count
    return wide[..., : shape[2]], counted.to(DEVICE)  # as a gate is a part of a fused projection


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_documents(shape, dtype):
    values, counted = make(shape, dtype)
    positive = document_kernels.sum_by_document(values, counted, signs=True)
    assert torch.equal(positive, _sum_in_passes(values, counted, 1))
    moments = document_kernels.sum_by_document(values, counted, signs=False)
    torch.testing.assert_close(moments, _sum_in_passes(values, counted, 3), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_best_tokens(shape, signed):
    values, counted = make(shape, torch.bfloat16)
    document = torch.randperm(1000, generator=torch.Generator().manual_seed(1))[: shape[0]].to(DEVICE)
    batch = token_finder.Rows(values, counted, document, slice(0, 0), signed)
    expected = token_finder.find_in_tiles(batch, 6)
    expected = token_finder.Table(expected.key, expected.position - 1, expected.score)
    arguments = (values, counted, document, 1, 6, signed)
    found = token_finder.Table(*document_kernels.best_by_document(*arguments))

    def tokens(table, unit):
        columns = (column[:, unit].tolist() for column in (table.key, table.position, table.score))
        return {token for token in zip(*columns, strict=True) if token[0]}

    for unit in range(shape[2]):
        assert tokens(found, unit) == tokens(expected, unit)


@pytest.mark.parametrize("name", sorted(gpu_trials.TRIALS))
def test_the_trials_of_a_job_succeed(name):
    assert gpu_trials.TRIALS[name](DEVICE)

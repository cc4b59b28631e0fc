"""Sums and best tokens of every unit in every document on a GPU: activations are read once and never copied.

torch's reductions need a masked copy and a pass for each sum, and its largest values of each unit a sort.
Positions are added in an order that does not depend on the batch, so a document's sums do not either.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from babelscope.recording.peaks import LAST_DOCUMENT
from babelscope.recording.select_kernel import on_device_of

_LAST = tl.constexpr(LAST_DOCUMENT)
# Positions and units that one program holds in registers.
_POSITIONS, _UNITS = 16, 128
# Of the search for the largest, which holds one table in place of three.
_PEAK_POSITIONS, _PEAK_WARPS = 32, 4
# Units of a program that goes through all documents: few, so that there are enough programs.
_KEEP_UNITS, _KEEP_WARPS = 32, 1


@triton.jit
def _sum(
    values_ptr,
    counted_ptr,
    sums_ptr,
    n_positions,
    n_units,
    document_step,
    position_step,
    sum_step,
    signs: tl.constexpr,
    positions: tl.constexpr,
    units: tl.constexpr,
):
    document = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * units + tl.arange(0, units)
    inside = unit < n_units
    total = tl.zeros((positions, units), dtype=tl.float32)
    squares = tl.zeros((positions, units), dtype=tl.float32)
    magnitudes = tl.zeros((positions, units), dtype=tl.float32)
    for first in range(0, n_positions, positions):
        position = first + tl.arange(0, positions)
        counted = tl.load(
            counted_ptr + document * n_positions + position, mask=position < n_positions, other=0
        )
        place = values_ptr + document * document_step + position[:, None] * position_step + unit[None, :]
        value = tl.load(place, mask=(counted != 0)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        if signs:
            total += (value > 0).to(tl.float32)
        else:
            total += value
            squares += value * value
            magnitudes += tl.abs(value)
    out = sums_ptr + document * n_units + unit
    tl.store(out, tl.sum(total, 0), mask=inside)
    if not signs:
        tl.store(out + sum_step, tl.sum(squares, 0), mask=inside)
        tl.store(out + 2 * sum_step, tl.sum(magnitudes, 0), mask=inside)


@triton.jit
def _peak(
    values_ptr,
    counted_ptr,
    packed_ptr,
    score_ptr,
    n_positions,
    n_units,
    document_step,
    position_step,
    low,
    signed: tl.constexpr,
    positions: tl.constexpr,
    units: tl.constexpr,
):
    document = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * units + tl.arange(0, units)
    inside = unit < n_units
    best = tl.zeros((units,), dtype=tl.int32)
    score = tl.zeros((units,), dtype=tl.float32)
    for first in range(0, n_positions, positions):
        position = first + tl.arange(0, positions)
        real = position < n_positions
        counted = tl.load(counted_ptr + document * n_positions + position, mask=real, other=0) != 0
        place = values_ptr + document * document_step + position[:, None] * position_step + unit[None, :]
        value = tl.load(place, mask=real[:, None] & inside[None, :], other=0.0).to(tl.float32)
        size = tl.where(value > 0, value, 0.0) if signed else tl.abs(value)
        bits = tl.where(counted[:, None], size, 0.0).to(tl.int32, bitcast=True)
        packed = tl.where(real[:, None], (bits & ~low) | (low - position)[:, None], 0)
        largest = tl.max(packed, 0)
        # no two positions have the same lowest bits
        own = tl.sum(tl.where(packed == largest[None, :], value, 0.0), 0)
        score = tl.where(largest > best, own, score)
        best = tl.maximum(largest, best)
    out = document * n_units + unit
    tl.store(packed_ptr + out, best, mask=inside)
    tl.store(score_ptr + out, score, mask=inside)


@triton.jit
def _keep(
    packed_ptr,
    score_ptr,
    document_ptr,
    key_ptr,
    position_ptr,
    kept_ptr,
    n_documents,
    n_units,
    n_special,
    low,
    n_best,
    rows: tl.constexpr,
    units: tl.constexpr,
):
    unit = tl.program_id(0) * units + tl.arange(0, units)
    inside = unit < n_units
    row = tl.arange(0, rows)[:, None]
    # rows beyond n_best are never the least, so nothing replaces them
    keys = tl.zeros((rows, units), dtype=tl.int64) + tl.where(row < n_best, 0, 0x7FFFFFFFFFFFFFFF)
    found = tl.zeros((rows, units), dtype=tl.int32) - 1
    scores = tl.zeros((rows, units), dtype=tl.float32)
    for document in range(n_documents):
        place = document * n_units + unit
        packed = tl.load(packed_ptr + place, mask=inside, other=0)
        score = tl.load(score_ptr + place, mask=inside, other=0.0)
        bits = tl.abs(score).to(tl.int32, bitcast=True).to(tl.int64)
        key = tl.where(packed > low, (bits << 31) | (_LAST - tl.load(document_ptr + document)), 0)
        least = tl.min(keys, 0)
        first = tl.min(tl.where(keys == least[None, :], row, rows), 0)
        new = (row == first[None, :]) & (key > least)[None, :]
        keys = tl.where(new, key[None, :], keys)
        found = tl.where(new, (low - (packed & low) - n_special)[None, :], found)
        scores = tl.where(new, score[None, :], scores)
    out = row * n_units + unit[None, :]
    wanted = (row < n_best) & inside[None, :]
    tl.store(key_ptr + out, keys, mask=wanted)
    tl.store(position_ptr + out, found, mask=wanted)
    tl.store(kept_ptr + out, scores, mask=wanted)


def sum_by_document(values: torch.Tensor, counted: torch.Tensor, signs: bool) -> torch.Tensor:
    """Sums over the counted tokens of each document.

    Parameters
    ----------
    values : (n_documents, length, n_units), units side by side in memory.
    counted : bool (n_documents, length).
    signs : True: how many values are positive; False: their sum, sum of squares, sum of magnitudes.

    Returns
    -------
    float32 (1 or 3, n_documents, n_units).
    """
    n_documents, length, n_units = values.shape
    sums = torch.empty((1 if signs else 3, n_documents, n_units), dtype=torch.float32, device=values.device)
    grid = (n_documents, triton.cdiv(n_units, _UNITS))
    with on_device_of(values):
        _sum[grid](
            values,
            counted.contiguous().view(torch.int8),
            sums,
            length,
            n_units,
            *_steps(values),
            sums.stride(0),
            signs=signs,
            positions=_POSITIONS,
            units=_UNITS,
        )
    return sums


def best_by_document(
    values: torch.Tensor,
    counted: torch.Tensor,
    document: torch.Tensor,
    n_special: int,
    n_best: int,
    signed: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every unit the documents with its largest magnitudes, and where in them these are.

    Parameters
    ----------
    values, counted : see ``sum_by_document``.
    document : int64 (n_documents,), their numbers.
    n_special : special tokens at the start of each document.
    signed : whether values below zero have no magnitude.

    Returns
    -------
    Key, position and score as in ``Table``, (n_best, n_units) each, in no order.
    """
    n_documents, length, n_units = values.shape
    low = (1 << max(1, (length - 1).bit_length())) - 1
    shape, device = (n_documents, n_units), values.device
    packed = torch.empty(shape, dtype=torch.int32, device=device)
    score = torch.empty(shape, dtype=torch.float32, device=device)
    key = torch.empty((n_best, n_units), dtype=torch.int64, device=device)
    position = torch.empty((n_best, n_units), dtype=torch.int32, device=device)
    kept = torch.empty((n_best, n_units), dtype=torch.float32, device=device)
    with on_device_of(values):
        _peak[(n_documents, triton.cdiv(n_units, _UNITS))](
            values,
            counted.contiguous().view(torch.int8),
            packed,
            score,
            length,
            n_units,
            *_steps(values),
            low,
            signed=signed,
            positions=_PEAK_POSITIONS,
            units=_UNITS,
            num_warps=_PEAK_WARPS,
        )
        _keep[(triton.cdiv(n_units, _KEEP_UNITS),)](
            packed,
            score,
            document.contiguous(),
            key,
            position,
            kept,
            n_documents,
            n_units,
            n_special,
            low,
            n_best,
            rows=triton.next_power_of_2(n_best),
            units=_KEEP_UNITS,
            num_warps=_KEEP_WARPS,
        )
    return key, position, kept


def _steps(values: torch.Tensor) -> tuple[int, int]:
    """Values from one document to the next, and from one position to the next."""
    assert values.stride(2) == 1
    return values.stride(0), values.stride(1)

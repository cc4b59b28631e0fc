"""The claims about parameters, loss and speed of a model with its high-frequency experts only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from babelscope.evidence.bootstrap import LEVEL
from babelscope.evidence.claims import (
    ABOUT_20,
    EQUAL,
    FFN_SAVED,
    LITTLE_NATS,
    UNDECIDED,
    ClaimRow,
    judge,
    paper_values,
)


def join_claims(
    recordings: Sequence[ClaimRow],
    pruning: Sequence[Mapping[str, Any]],
    speed: Sequence[Mapping[str, Any]],
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """All rows of ``claims.csv``, in the paper's order, what its later version adds at the end.

    Parameters
    ----------
    recordings : rows of ``judge_recordings``.
    pruning, speed : rows of ``pruning.csv`` and ``pruning_speed.csv``; empty where there is none.
    paper : paper.json.
    """
    ends = [(row.low, row.high) for row in recordings if row.statistic == FFN_SAVED]
    interval = None
    if ends and ends[0][0] is not None and ends[0][1] is not None:
        interval = (ends[0][0], ends[0][1])
    rows = [*recordings, *judge_pruning(pruning, interval, paper), *judge_speed(speed, pruning, paper)]
    order = [*paper["claims"], *paper["later_version_adds"]]
    return sorted(rows, key=lambda row: order.index(row.claim))


def judge_pruning(
    table: Sequence[Mapping[str, Any]], ffn_saved: tuple[float, float] | None, paper: Mapping[str, Any]
) -> list[ClaimRow]:
    """Rows of the claims about parameters and loss.

    Parameters
    ----------
    table : rows of ``pruning.csv``, numbers as float. Standard errors of dense and pruned loss are added as
        if independent, which makes the interval too wide, unless ``nll_rise_standard_error`` is there.
    ffn_saved : interval of the share of FFN parameters saved, from the recordings; scaled to all parameters.
    paper : paper.json.
    """
    claims, printed = list(paper["claims"]), paper_values(paper)
    if not table:
        absent = ClaimRow(
            claims[6], "share of all parameters saved (not measured)", None, None, None, 0.2, UNDECIDED
        )
        missing = "rise of NLL, nats a token (not measured)"
        return [absent, ClaimRow(claims[7], missing, None, None, None, printed["rise_mean"], UNDECIDED)]
    rows = []
    saved = np.array([1 - float(row["parameters_kept"]) for row in table])
    ffn = np.array([1 - float(row["ffn_parameters_kept"]) for row in table])
    low = high = float(saved.mean())
    if ffn_saved is not None and ffn.mean() > 0:
        low, high = (end * float(saved.mean() / ffn.mean()) for end in ffn_saved)
    rows.append(
        ClaimRow(
            claims[6],
            "share of all parameters saved, mean of languages",
            float(np.clip(saved.mean(), low, high)),
            low,
            high,
            printed["all_saved"],
            judge(low, high, *ABOUT_20),
        )
    )
    z = float(norm.ppf(0.5 + LEVEL / 2))
    rise = np.array([float(row["nll_pruned"]) - float(row["nll_dense"]) for row in table])
    error = np.array([_rise_error(row) for row in table])
    codes = [str(row["language"]) for row in table]
    least = int(np.argmin(rise - z * error))
    rows.append(
        _rise_row(
            claims[7],
            f"smallest rise of NLL, nats a token ({codes[least]})",
            float(rise[least]),
            z * error[least],
            min((printed[f"rise_{code}"] for code in paper["languages"]), default=None),
            math.inf,
        )
    )
    mean_error = float(np.sqrt((error**2).sum())) / len(error)
    text, mean = "rise of NLL, nats a token, mean of languages", float(rise.mean())
    rows.append(_rise_row(claims[7], text, mean, z * mean_error, printed["rise_mean"], LITTLE_NATS))
    for code, value, half in zip(codes, rise, z * error, strict=True):
        text = f"rise of NLL, nats a token: {code}"
        rows.append(_rise_row(claims[7], text, float(value), half, printed.get(f"rise_{code}"), LITTLE_NATS))
    return rows + _control_rows(table, paper)


def judge_speed(
    speed: Sequence[Mapping[str, Any]], table: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]
) -> list[ClaimRow]:
    """Rows of the claim about speed and size.

    Parameters
    ----------
    speed : rows of ``pruning_speed.csv``; empty where speed was not measured.
    table : rows of ``pruning.csv``.
    """
    claim = list(paper["claims"])[8]
    rows = []
    for phase in ("prefill", "decode"):
        logs = np.log([float(row["ratio"]) for row in speed if row["phase"] == phase])
        text = f"{phase}: tokens a second, sliced over dense (geometric mean of languages and batch sizes)"
        if len(logs) == 0:
            rows.append(ClaimRow(claim, f"{text}: not measured", None, None, None, None, UNDECIDED))
            continue
        half = (
            float(student_t.ppf(0.5 + LEVEL / 2, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5)
            if len(logs) > 1
            else math.nan
        )
        low, high = math.exp(logs.mean() - half), math.exp(logs.mean() + half)
        verdict = judge(low, high, above=EQUAL)
        if not math.isfinite(half):
            rows.append(ClaimRow(claim, text, math.exp(logs.mean()), None, None, None, verdict))
        else:
            rows.append(ClaimRow(claim, text, math.exp(logs.mean()), low, high, None, verdict))
    kept = [float(row["parameters_kept"]) for row in table]
    text = "share of all parameters kept, largest of the languages"
    if kept:
        largest = max(kept)
        rows.append(
            ClaimRow(claim, text, largest, largest, largest, None, judge(largest, largest, below=EQUAL))
        )
    else:
        rows.append(ClaimRow(claim, f"{text}: not measured", None, None, None, None, UNDECIDED))
    return rows


def _control_rows(table: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]) -> list[ClaimRow]:
    """What the first version of the paper did not have: random experts as the control, and compensation."""
    rows = []
    if all(row.get("nll_compensated") not in (None, "") for row in table):
        rise = np.array([float(row["nll_compensated"]) - float(row["nll_dense"]) for row in table])
        text = "rise of NLL with compensation (not in the paper), nats a token, mean of languages"
        rows.append(_rise_row(list(paper["claims"])[7], text, *_mean_interval(rise), None, LITTLE_NATS))
    if all(row.get("nll_random_mean") not in (None, "") for row in table):
        gain = np.array([float(row["nll_random_mean"]) - float(row["nll_pruned"]) for row in table])
        text = "NLL with as many random experts less that with high-frequency ones, mean of languages"
        rows.append(
            _rise_row(list(paper["later_version_adds"])[1], text, *_mean_interval(gain), None, math.inf)
        )
    return rows


def _mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over languages and half of its 95 % interval; infinite for one language."""
    n = len(values)
    if n < 2:
        return float(values.mean()), math.inf
    return float(values.mean()), float(student_t.ppf(0.5 + LEVEL / 2, n - 1) * values.std(ddof=1) / n**0.5)


def _rise_row(
    claim: str, text: str, rise: float, half: float, printed: float | None, little: float
) -> ClaimRow:
    low, high = rise - half, rise + half
    if not math.isfinite(half):
        return ClaimRow(claim, text, rise, None, None, printed, UNDECIDED)
    return ClaimRow(claim, text, rise, low, high, printed, judge(low, high, 0.0, little))


def _rise_error(row: Mapping[str, Any]) -> float:
    if row.get("nll_rise_standard_error") not in (None, ""):
        return float(row["nll_rise_standard_error"])
    parts = [row.get(f"nll_standard_error_{name}") for name in ("dense", "pruned")]
    return math.sqrt(sum(float(part) ** 2 for part in parts if part not in (None, "")))

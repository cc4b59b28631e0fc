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
    NO_DIFFERENCE,
    UNDECIDED,
    ClaimRow,
    judge,
    paper_values,
)

ALL_SAVED = "share of all parameters saved, mean of languages"
SMALLEST_RISE = "smallest rise of NLL, nats a token"
RISE = "rise of NLL, nats a token"
COMPENSATED = "rise of NLL with compensation (not in the paper), nats a token, mean of languages"
RANDOM = "NLL with as many random experts less that with high-frequency ones, mean of languages"
FASTER = "tokens a second, sliced over dense (geometric mean of languages and batch sizes)"
KEPT = "share of all parameters kept, largest of the languages"
RANDOM_AT = "NLL with random experts less that with the most frequent of each layer, mean of languages"
LAYER_RATES_AT = "NLL with one rate for all layers less that with a rate per layer, mean of languages"
# beginning of a statistic's text, and the open region that its claim describes
REGIONS: tuple[tuple[str, float, float], ...] = (
    (ALL_SAVED, *ABOUT_20),
    (SMALLEST_RISE, NO_DIFFERENCE, math.inf),
    ("rise of NLL", NO_DIFFERENCE, LITTLE_NATS),
    (RANDOM, NO_DIFFERENCE, math.inf),
    (RANDOM_AT, NO_DIFFERENCE, math.inf),
    (LAYER_RATES_AT, NO_DIFFERENCE, math.inf),
    (f"prefill: {FASTER}", EQUAL, math.inf),
    (f"decode: {FASTER}", EQUAL, math.inf),
    (KEPT, -math.inf, EQUAL),
)
_Z = float(norm.ppf(0.5 + LEVEL / 2))


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
    pruning : results of ``evaluate_language``, one a language. speed : rows of ``pruning_speed.csv``.
    paper : paper.json.
    """
    saved = next((row for row in recordings if row.statistic == FFN_SAVED), None)
    interval = None
    if saved is not None and saved.low is not None and saved.high is not None:
        interval = (saved.low, saved.high)
    rows = [*recordings, *judge_pruning(pruning, interval, paper), *judge_speed(speed, pruning, paper)]
    order = [*paper["claims"], *paper["later_version_adds"]]
    return sorted(rows, key=lambda row: order.index(row.claim))


def judge_pruning(
    results: Sequence[Mapping[str, Any]],
    ffn_saved: tuple[float, float] | None,
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """Rows of the claims about parameters and loss.

    Intervals of a loss are over held-out documents, each document's loss under one model less its loss under
    the other; the interval against random experts is over languages, because each language has draws of its
    own.

    Parameters
    ----------
    results : of ``evaluate_language``, one a language.
    ffn_saved : interval of the share of FFN parameters saved, from the recordings; scaled to all parameters.
    paper : paper.json.
    """
    claims, printed = list(paper["claims"]), paper_values(paper)
    saved = np.array([1 - float(row["parameters_kept"]) for row in results])
    ffn = np.array([1 - float(row["ffn_parameters_kept"]) for row in results])
    low = high = float(saved.mean())
    if ffn_saved is not None and ffn.mean() > 0:
        low, high = (end * float(saved.mean() / ffn.mean()) for end in ffn_saved)
    value = float(np.clip(saved.mean(), low, high))
    verdict = judge(low, high, *ABOUT_20)
    rows = [ClaimRow(claims[6], ALL_SAVED, value, low, high, printed["all_saved"], verdict)]

    codes = [str(row["language"]) for row in results]
    rises, errors = np.transpose([nll_difference(row["documents"], "pruned", "dense") for row in results])
    least = int(np.argmin(rises - _Z * errors))
    smallest = min(printed[f"rise_{code}"] for code in paper["languages"])
    text = f"{SMALLEST_RISE} ({codes[least]})"
    rows.append(_judged(claims[7], text, rises[least], _Z * errors[least], smallest))
    mean = _mean_of_documents(rises, errors)
    rows.append(_judged(claims[7], f"{RISE}, mean of languages", *mean, printed["rise_mean"], LITTLE_NATS))
    for code, rise, error in zip(codes, rises, errors, strict=True):
        known = printed.get(f"rise_{code}")
        rows.append(_judged(claims[7], f"{RISE}: {code}", rise, _Z * error, known, LITTLE_NATS))
    left, errors = np.transpose([nll_difference(row["documents"], "compensated", "dense") for row in results])
    rows.append(_judged(claims[7], COMPENSATED, *_mean_of_documents(left, errors), None, LITTLE_NATS))

    gain = np.array([float(row["nll_random_mean"]) - float(row["nll_pruned"]) for row in results])
    rows.append(_judged(list(paper["later_version_adds"])[1], RANDOM, *_mean_of_languages(gain), None))
    return rows


def judge_speed(
    speed: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]
) -> list[ClaimRow]:
    """Rows of the claim about speed and size.

    Parameters
    ----------
    speed : rows of ``pruning_speed.csv``. results : of ``evaluate_language``.
    """
    claim = list(paper["claims"])[8]
    rows = []
    for phase in ("prefill", "decode"):
        logs = np.log([float(row["ratio"]) for row in speed if row["phase"] == phase])
        if len(logs) == 0:
            rows.append(ClaimRow(claim, f"{phase}: {FASTER}", None, None, None, None, UNDECIDED))
            continue
        mean, half = _mean_of_languages(logs)
        low, high = math.exp(mean - half), math.exp(mean + half)
        row = ClaimRow(claim, f"{phase}: {FASTER}", math.exp(mean), low, high, None, judge(low, high, EQUAL))
        rows.append(_without_infinite(row))
    largest = max(float(row["parameters_kept"]) for row in results)
    verdict = judge(largest, largest, below=EQUAL)
    return [*rows, ClaimRow(claim, KEPT, largest, largest, largest, None, verdict)]


def judge_frontier(frontier: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]) -> list[ClaimRow]:
    """Rows of what the paper's later version adds, at every share of experts that was tried.

    Parameters
    ----------
    frontier : rows of ``pruning_frontier.csv``.
    """
    added = list(paper["later_version_adds"])
    nll = {
        (row["method"], float(row["share"]), row["language"]): float(row["nll"])
        for row in frontier
        if row["method"] != "dense"
    }
    languages = sorted({language for *_, language in nll})
    rows = []
    contrasts = (
        (added[1], RANDOM_AT, "random", "most_frequent_per_layer"),
        (added[2], LAYER_RATES_AT, "most_frequent_per_layer", "layer_rates"),
    )
    for claim, text, worse, better in contrasts:
        for share in sorted({share for _, share, _ in nll}):
            gains = [nll[worse, share, code] - nll[better, share, code] for code in languages]
            gain, half = _mean_of_languages(np.array(gains))
            rows.append(_judged(claim, f"{text}, {100 * share:g} % of experts kept", gain, half, None))
    return rows


def nll_difference(documents: Mapping[str, Sequence[float]], first: str, second: str) -> tuple[float, float]:
    """Mean loss under one model less that under another, nats a token, with its standard error.

    Documents are the sampling unit, and each is its own control: a linearised ratio estimator of the
    difference (Cochran 1977, "Sampling techniques", 6.3).

    Parameters
    ----------
    documents : summed loss of each held-out document by model, and ``n_predicted``.
    """
    difference = np.asarray(documents[first]) - np.asarray(documents[second])
    n_predicted = np.asarray(documents["n_predicted"], dtype=np.float64)
    n, total = len(difference), n_predicted.sum()
    mean = difference.sum() / total
    if n < 2:
        return float(mean), math.inf
    residual = difference - mean * n_predicted
    return float(mean), float(np.sqrt(n / (n - 1) * (residual**2).sum()) / total)


def _mean_of_documents(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Mean over these languages and half of its 95 % interval over documents."""
    return float(values.mean()), _Z * float(np.sqrt((errors**2).sum())) / len(errors)


def _mean_of_languages(values: np.ndarray) -> tuple[float, float]:
    """Mean and half of its 95 % interval over languages (Student's t); infinite for one value."""
    n = len(values)
    if n < 2:
        return float(values.mean()), math.inf
    return float(values.mean()), float(student_t.ppf(0.5 + LEVEL / 2, n - 1) * values.std(ddof=1) / n**0.5)


def _judged(
    claim: str, text: str, value: float, half: float, printed: float | None, below: float = math.inf
) -> ClaimRow:
    """A row whose claim says more than nothing, and less than ``below``."""
    value, low, high = float(value), float(value - half), float(value + half)
    verdict = judge(low, high, NO_DIFFERENCE, below)
    return _without_infinite(ClaimRow(claim, text, value, low, high, printed, verdict))


def _without_infinite(row: ClaimRow) -> ClaimRow:
    if row.high is None or math.isfinite(row.high):
        return row
    return ClaimRow(row.claim, row.statistic, row.value, None, None, row.paper_value, row.verdict)

"""The claims about parameters, loss and speed of a model with its high-frequency experts only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from babelscope.evidence.claims import NOT_TESTED, ClaimRow, Criteria, Criterion, paper_values
from babelscope.pruning.control_tables import PARTITION, control_gains, describe_interval
from babelscope.pruning.tables import PRUNING, read_languages_of, read_speed
from babelscope.statistics.bootstrap import spread_of_mean
from babelscope.statistics.ratios import Z, mean_interval, mixed_interval, ratio_with_error, wilson

ONE_PARTITION = "; over documents alone, one partition: pruning.partition_documents is 0"
ALL_NOISY = "; every timing was too noisy to judge"
ONE_MODEL = "; one model, over the turns of its timing"
NO_COMPENSATED_PAPER = "; not measured: pruning.paper_compensated is false"
NO_COMPENSATED_CONTROL = "; not measured: pruning.compensated_draws is 0"
# what the interval of a difference to random experts says of the cut into experts
OWN_PARTITION = "; one partition"
CHOSEN_PARTITIONS = ", and partitions of the chosen experts (random ones of one)"


def join_claims(
    criteria: Criteria,
    recordings: Sequence[ClaimRow],
    pruning: Sequence[Mapping[str, Any]],
    speed: Sequence[Mapping[str, Any]],
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """All rows of ``claims.csv``, in the order of ``claims.yaml``.

    Parameters
    ----------
    recordings : rows of ``judge_recordings``.
    pruning : results of ``evaluate_language``, one per language; none: nothing was pruned, and the
        claims about it are not tested.
    speed : rows of ``pruning_speed.json``.
    paper : paper.json.
    """
    order = list(criteria)
    if not pruning:
        of_pruning = [
            criterion for criterion in criteria.values() if criterion.section in ("pruning", "speed")
        ]
        recordings = [*recordings, *(replace(one.row(None), verdict=NOT_TESTED) for one in of_pruning)]
        return sorted(recordings, key=lambda row: order.index(row.id.partition(":")[0]))
    saved = next((row for row in recordings if row.id == "saved.ffn_saved"), None)
    interval = None
    if saved is not None and saved.low is not None and saved.high is not None:
        interval = (saved.low, saved.high)
    rows = [
        *recordings,
        *judge_pruning(criteria, pruning, interval, paper),
        *judge_speed(criteria, speed, pruning),
    ]
    return sorted(rows, key=lambda row: order.index(row.id.partition(":")[0]))


def read_pruning(
    paths: Any, model: str, languages: Sequence[str], choice: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Results of pruning by language and rows of timings, from the files of these names; or none.

    Parameters
    ----------
    choice : of experts, that the results must have been made with.
    """
    if not paths.pruning:
        return [], []
    results = read_languages_of(paths.pruning, PRUNING, model, languages, **choice)
    return results, read_speed(paths.speed, model, languages)


def judge_pruning(
    criteria: Criteria,
    results: Sequence[Mapping[str, Any]],
    ffn_saved: tuple[float, float] | None,
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """Rows of the claims about parameters and loss.

    Intervals of a loss are over held-out documents, each document's loss under one model less its loss under
    the other. Where plain removal was repeated with the experts of equivalent partitions, its value is the
    mean over them and its interval is over both. Intervals against random experts are over languages and
    draws, because each language has draws of its own; where chosen experts of several partitions were removed
    plainly, random ones are compared with their mean and the interval is over these partitions as well.

    Parameters
    ----------
    results : of ``evaluate_language``, one per language.
    ffn_saved : interval of the share of FFN parameters saved, from the recordings; scaled to all parameters.
    paper : paper.json.
    """
    printed = paper_values(paper)
    saved = np.array([1 - float(row["parameters_kept"]) for row in results])
    ffn = np.array([1 - float(row["ffn_parameters_kept"]) for row in results])
    low = high = float(saved.mean())
    if ffn_saved is not None and ffn.mean() > 0:
        low, high = (end * float(saved.mean() / ffn.mean()) for end in ffn_saved)
    value = float(np.clip(saved.mean(), low, high))
    rows = [criteria["saved.all_saved"].row(value, low, high, printed["all_saved"])]

    codes = [str(row["language"]) for row in results]
    rises, errors = np.transpose([nll_difference(row["documents"], "pruned", "dense") for row in results])
    by_partition = rises + partition_shifts(results)
    spread, missing = spread_of_mean(by_partition), "" if len(by_partition) > 1 else ONE_PARTITION
    rises, halves = by_partition.mean(axis=0), np.hypot(Z * errors, spread)
    least = int(np.argmin(rises))
    # that every language loses is as sure as it is where it is least sure
    ends = (float((rises - halves).min()), float(rises[least] + halves[least]))
    smallest = (float(rises[least]), *ends, printed["smallest_rise"], codes[least])
    rows.append(criteria["loss.smallest_rise"].row(*smallest))
    # a partition is cut once for all languages: what it does to them does not cancel in their mean
    mean = _mean_of_documents(rises, errors)
    half = math.hypot(mean[1], float(spread_of_mean(by_partition.mean(axis=1))))
    rows.append(_row(criteria["loss.rise_mean"], mean[0], half, printed["rise_mean"]))
    for code, rise, half in zip(codes, rises, halves, strict=True):
        rows.append(_row(criteria["loss.rise"], rise, half, printed.get(f"rise_{code}"), code))
    rows[1:] = [replace(row, statistic=row.statistic + missing) for row in rows[1:]]
    for model, said in (("compensated", NO_COMPENSATED_PAPER), ("finished", "")):
        criterion = criteria[f"loss.{model}_rise"]
        if all(model in row["documents"] for row in results):
            left = [nll_difference(row["documents"], model, "dense") for row in results]
            rows.append(_row(criterion, *_mean_of_documents(*np.transpose(left))))
        else:
            row = criterion.row(None)
            rows.append(replace(row, statistic=row.statistic + said))

    rows += [_against_random(criteria["random.random_loss"], results, "random")]
    rows += [_against_random(criteria["random.random_compensated_loss"], results, "random_compensated")]
    return [*rows, *_people(criteria, results, paper)]


def partition_shifts(results: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Loss of plain removal with the experts of every partition less that with the study's own.

    In nats per token, on the documents that both have read.

    Returns
    -------
    float64 (n_partitions, n_languages); the first row, of the study's own partition, is 0.
    """
    documents = [row["documents"] for row in results]
    names = [name for name in documents[0] if name.startswith(PARTITION)]
    shifts = np.zeros((1 + len(names), len(results)))
    for number, name in enumerate(names, start=1):
        for idx, losses in enumerate(documents):
            n_read = len(losses[name])
            change = np.subtract(losses[name], losses["pruned"][:n_read]).sum()
            shifts[number, idx] = change / sum(losses["n_predicted"][:n_read])
    return shifts


def gain_over_partitions(gains: np.ndarray, shifts: np.ndarray) -> tuple[float, float]:
    """Mean gain over random experts and half of its 95 % interval, over languages, draws and partitions.

    Parameters
    ----------
    gains : float (n_languages, n_draws), losses of random experts less that of the study's own chosen ones.
    shifts : float (n_partitions, n_languages), of ``partition_shifts``. A partition is cut once for all
        languages, so that the spread of their means is added to the interval over languages and draws.
    """
    mean, moved = mixed_interval(gains), shifts.mean(axis=1)
    return mean.value - float(moved.mean()), math.hypot(mean.half, float(spread_of_mean(moved)))


def _against_random(criterion: Criterion, results: Sequence[Mapping[str, Any]], control: str) -> ClaimRow:
    gains = control_gains(results, control)
    if gains is None:
        row = criterion.row(None)
        return replace(row, statistic=row.statistic + NO_COMPENSATED_CONTROL)
    # with compensation only the study's own partition is measured
    shifts = partition_shifts(results) if control == "random" else np.zeros((1, len(results)))
    row = _row(criterion, *gain_over_partitions(gains, shifts))
    partitions = CHOSEN_PARTITIONS if len(shifts) > 1 else OWN_PARTITION
    over = describe_interval(*gains.shape, random=True) + partitions
    return replace(row, statistic=f"{row.statistic}; over {over}")


def _people(
    criteria: Criteria, results: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]
) -> list[ClaimRow]:
    """The human comparison, which no run makes, and how often plain removal raises the loss of a document."""
    printed = paper["human_comparison_percent"]["pruned_worse"] / 100
    pairs = [zip(row["documents"]["pruned"], row["documents"]["dense"], strict=True) for row in results]
    worse = [pruned > dense for documents in pairs for pruned, dense in documents]
    share = float(np.mean(worse))
    rows = [
        criteria["people.pruned_worse"].row(None, paper_value=printed),
        criteria["people.loss_worse"].row(share, *wilson(sum(worse), len(worse))),
    ]
    return [replace(row, verdict=NOT_TESTED) for row in rows]


def judge_speed(
    criteria: Criteria, speed: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> list[ClaimRow]:
    """Rows of the claim about speed and size.

    Timings of one model at several batch sizes are one observation: the interval is over models, on the
    machine that timed them. Where all models have the same widths one is timed, and its interval is over the
    turns of the timing, in which the dense model was timed as well.

    Parameters
    ----------
    speed : rows of ``pruning_speed.json``; noisy ones are passed over. results : of ``evaluate_language``.
    """
    rows = []
    for phase in ("prefill", "decode"):
        criterion = criteria[f"speed.{phase}"]
        timed = [row for row in speed if row["phase"] == phase]
        calm = [row for row in timed if not row["noisy"]]
        by_model: dict[str, list[float]] = {}
        for timing in calm:
            by_model.setdefault(timing["language"], []).append(math.log(float(timing["ratio"])))
        logs = np.array([np.mean(ratios) for ratios in by_model.values()])
        if len(logs) == 0:
            row = criterion.row(None)
            rows.append(replace(row, statistic=row.statistic + ALL_NOISY) if timed else row)
            continue
        mean, half = mean_interval(logs)
        one = len(logs) == 1 and len(calm[0]["languages"]) == len(results)
        if one:
            turns = [row["turns"] for row in calm]
            half = mean_interval(np.log(np.array(turns, dtype=np.float64)).mean(axis=0))[1]
        row = criterion.row(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
        rows.append(replace(row, statistic=row.statistic + ONE_MODEL) if one else row)
    largest = max(float(row["parameters_kept"]) for row in results)
    return [*rows, criteria["speed.parameters_kept"].row(largest, largest, largest)]


def judge_frontier(criteria: Criteria, frontier: Sequence[Mapping[str, Any]]) -> list[ClaimRow]:
    """Rows of the claims that the paper's later version adds, at every share of experts that was tried.

    Parameters
    ----------
    frontier : rows of ``pruning_frontier/{lang}.json`` with their ``language``.
    """
    nll: dict[tuple[str, float, str], list[float]] = {}
    for row in frontier:
        if row["method"] != "dense":
            key = (row["method"], float(row["share"]), row["language"])
            nll.setdefault(key, []).append(float(row["nll"]))
    languages = sorted({language for *_, language in nll})
    rows = []
    contrasts = (
        ("random.random_loss_at", "random", "most_frequent_per_layer"),
        ("random.random_same_layers_at", "random_same_layers", "most_frequent"),
        ("layer_rates.layer_rates_at", "most_frequent_per_layer", "layer_rates"),
    )
    for name, worse, better in contrasts:
        for share in sorted({share for _, share, _ in nll}):
            losses = [np.array(nll[worse, share, code]) - nll[better, share, code] for code in languages]
            mean = mixed_interval(np.array(losses))
            rows.append(_row(criteria[name], mean.value, mean.half, of=f"{100 * share:g}"))
    return rows


def nll_difference(documents: Mapping[str, Sequence[float]], first: str, second: str) -> tuple[float, float]:
    """Mean loss under one model less that under another, nats per token, with its standard error.

    Documents are the sampling unit, and each is its own control (``ratio_with_error``).

    Parameters
    ----------
    documents : summed loss of each held-out document by model, and ``n_predicted``.
    """
    difference = np.asarray(documents[first]) - np.asarray(documents[second])
    return ratio_with_error(difference, np.asarray(documents["n_predicted"], dtype=np.float64))


def _mean_of_documents(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Mean over these languages and half of its 95 % interval over documents."""
    return float(values.mean()), Z * float(np.sqrt((errors**2).sum())) / len(errors)


def _row(
    criterion: Criterion, value: float, half: float, printed: float | None = None, of: str = ""
) -> ClaimRow:
    value, half = float(value), float(half)
    return criterion.row(value, value - half, value + half, printed, of)

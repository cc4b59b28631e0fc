"""Tables of the controls: their losses less those of the chosen experts, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.statistics.ratios import mixed_interval

# Control: the removal of the language's own experts that it is compared with.
CONTROLS = {
    "random": "pruned",
    "output_norm": "pruned",
    "random_compensated": "compensated",
    "output_norm_compensated": "compensated",
    "least_frequent_compensated": "compensated",
}
# Losses with the experts of an equivalent partition, by its name behind this.
PARTITION = "partition_"
CONTROL_COLUMNS = (
    "control", "against", "n_languages", "n_draws", "difference", "low", "high", "sd_languages", "sd_draws",
    "p_control_beats_chosen", "interval",
)  # fmt: skip


def summarise_controls(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``pruning_controls.csv``: each control's loss less that of the chosen experts, nats per token.

    Parameters
    ----------
    results : of ``evaluate_language``, one per language.

    Returns
    -------
    One row per control. ``difference`` is the mean over languages and draws; ``interval`` says what ``low``
    and ``high`` are over, and what they lack. ``p_control_beats_chosen`` is the share of languages and draws
    in which the control has the smaller loss.
    """
    rows: list[dict[str, Any]] = []
    for control, against in CONTROLS.items():
        row: dict[str, Any] = dict.fromkeys(CONTROL_COLUMNS)
        row |= {"control": control, "against": against, "n_languages": len(results), "n_draws": 0}
        gains = control_gains(results, control)
        if gains is None:
            row["interval"] = "not measured: pruning.compensated_draws is 0"
        else:
            mean = mixed_interval(gains)
            n_draws = gains.shape[1]
            row |= {"n_draws": n_draws, "difference": mean.value, "sd_languages": mean.sd_groups}
            row["p_control_beats_chosen"] = float((gains < 0).mean())
            row["sd_draws"] = mean.sd_draws if n_draws > 1 else None
            if len(gains) > 1:
                row |= {"low": mean.value - mean.half, "high": mean.value + mean.half}
            row["interval"] = describe_interval(*gains.shape, random=control.startswith("random"))
        rows.append(row)
    return rows


def describe_interval(n_languages: int, n_draws: int, *, random: bool) -> str:
    """Sources of variation that an interval over languages and draws covers, and those that it lacks."""
    if n_languages < 2:
        return "none: one language"
    if not random:
        return "languages"
    if n_draws < 2:
        return "languages, each with one draw; lacks the spread of draws within a language"
    return "languages and draws"


def control_gains(results: Sequence[Mapping[str, Any]], control: str) -> np.ndarray | None:
    """Loss under a control less that under the chosen experts, nats per token.

    Returns
    -------
    float64 (n_languages, n_draws); None where the control was not measured.
    """
    rows = []
    for result in results:
        documents = result["documents"]
        losses = [documents[name] for name in draws_of(documents, control)]
        if not losses:
            return None
        own, n_predicted = documents[CONTROLS[control]], documents["n_predicted"]
        # a control may have read the first documents alone
        sums = [(sum(nll), sum(own[: len(nll)]), sum(n_predicted[: len(nll)])) for nll in losses]
        rows.append([(control_sum - own_sum) / n_tokens for control_sum, own_sum, n_tokens in sums])
    return np.array(rows) if rows else None


def draws_of(documents: Mapping[str, Any], control: str) -> list[str]:
    """Names of a control's draws among the losses of a result; a control without draws has one."""
    if control in documents:
        return [control]
    kind, compensated, _ = control.partition("_compensated")
    names = (f"{kind}_{number}{compensated}" for number in range(len(documents)))
    return [name for name in names if name in documents]

"""The table of pruning: one row a language (paper, Table 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "language",
    "proportion_high",
    "nll_dense",
    "nll_pruned",
    "perplexity_dense",
    "perplexity_pruned",
    "bits_per_byte_dense",
    "bits_per_byte_pruned",
    "ffn_parameters_kept",
    "parameters_kept",
)


def tabulate_pruning(results: Sequence[Mapping[str, Any]]) -> str:
    """CSV text with the contract's columns first and whatever else was measured behind them."""
    extra = [
        name
        for name, value in results[0].items()
        if name not in COLUMNS and name != "model" and isinstance(value, (int, float, type(None)))
    ]
    names = [*COLUMNS, *extra]
    lines = [",".join(_cell(result[name]) for name in names) for result in results]
    return "\n".join([",".join(names), *lines]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""Tables of experts: the index of all, and the most specific ones of each language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from babelscope.evidence.specificity import ExpertIndex, most_specific
from babelscope.files.tables import write_table

INDEX_TAIL = (
    "entropy", "top_language", "next_language", "difference", "low", "high", "p_value", "q_value",
    "n_languages_high", "gap_q_value", "class", "group",
)  # fmt: skip
SPECIFIC_COLUMNS = (
    "language", "rank", "layer", "expert", "frequency", "next_language",
    "next_frequency", "difference", "low", "high", "q_value", "entropy", "class",
)  # fmt: skip


def index_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """Columns of ``experts.csv``: layer, expert, ``frequency_{language}``, then what was found."""
    return ("layer", "expert", *(f"frequency_{code}" for code in codes), *INDEX_TAIL)


def tabulate_index(index: ExpertIndex, codes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of ``experts.csv``, one an expert."""
    return [_index_row(index, codes, row) for row in range(len(index.layer))]


def tabulate_specific(index: ExpertIndex, codes: Sequence[str], n_most: int) -> list[dict[str, Any]]:
    """Rows of ``specific_experts.csv``: for each language at most ``n_most`` experts, most specific first."""
    rows: list[dict[str, Any]] = []
    for idx, code in enumerate(codes):
        for rank, expert in enumerate(most_specific(index, idx, n_most), start=1):
            entry = _index_row(index, codes, int(expert))
            entry |= {
                "language": code,
                "rank": rank,
                "frequency": entry[f"frequency_{code}"],
                "next_frequency": entry[f"frequency_{entry['next_language']}"],
            }
            rows.append(entry)
    return rows


def write_index(
    index_path: str, specific_path: str, index: ExpertIndex, codes: Sequence[str], n_most: int
) -> None:
    """Write ``experts.csv``, and ``specific_experts.csv`` with at most ``n_most`` rows a language."""
    write_table(index_path, tabulate_index(index, codes), index_columns(codes))
    write_table(specific_path, tabulate_specific(index, codes, n_most), SPECIFIC_COLUMNS)


def _index_row(index: ExpertIndex, codes: Sequence[str], row: int) -> dict[str, Any]:
    frequencies = {f"frequency_{code}": float(index.frequency[row, idx]) for idx, code in enumerate(codes)}
    numbers = ("entropy", "difference", "low", "high", "p_value", "q_value", "gap_q_value")
    counts = ("layer", "expert", "n_languages_high")
    return {
        **frequencies,
        **{name: float(getattr(index, name)[row]) for name in numbers},
        **{name: int(getattr(index, name)[row]) for name in counts},
        "top_language": codes[index.top[row]],
        "next_language": codes[index.next[row]],
        "class": index.kind[row],
        "group": index.group[row],
    }

"""Tables of experts: the index of all, and the most specific ones of each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babelscope.evidence.specificity import CLASSES, ExpertIndex, most_specific
from babelscope.files.record import write_record
from babelscope.files.tables import write_table
from babelscope.pruning.tables import EXPERT_CLASSES

INDEX_TAIL = (
    "entropy", "top_language", "next_language", "difference", "low", "high", "p_value", "q_value",
    "n_languages_high", "gap_q_value", "group_above", "group_q_value", "class", "group",
)  # fmt: skip
SPECIFIC_COLUMNS = (
    "language", "rank", "layer", "expert", "frequency", "next_language",
    "next_frequency", "difference", "low", "high", "q_value", "entropy", "class",
)  # fmt: skip


# A difference that one can see: four times the threshold of a high frequency.
WIDE = 0.2
CLASS_COLUMNS = ("partition", *CLASSES, "difference_over_0.2")


def tabulate_classes(indices: Mapping[str, ExpertIndex]) -> list[dict[str, Any]]:
    """Rows of ``expert_classes.csv``: experts of each class, of the study's own partition and of controls.

    ``difference_over_0.2``: specific experts whose language is more than ``WIDE`` above the next one.
    """
    return [
        {
            "partition": name,
            **{kind: index.kind.count(kind) for kind in CLASSES},
            "difference_over_0.2": sum(
                kind == "specific" and difference > WIDE
                for kind, difference in zip(index.kind, index.difference, strict=True)
            ),
        }
        for name, index in indices.items()
    ]


def index_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """Columns of ``experts.csv``: layer, expert, ``frequency_{language}``, then the results of the tests."""
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
    out: Any,
    indices: Mapping[str, ExpertIndex],
    codes: Sequence[str],
    n_most: int,
    model: str,
    threshold: float,
) -> None:
    """Write ``index``, ``specific`` and record ``experts`` of the study's own partition, ``classes`` of all.

    Parameters
    ----------
    indices : by partition, the study's own first. n_most : rows of ``specific`` per language.
    model, threshold : of the study.
    """
    main = next(iter(indices.values()))
    write_table(out.index, tabulate_index(main, codes), index_columns(codes))
    write_table(out.specific, tabulate_specific(main, codes, n_most), SPECIFIC_COLUMNS)
    write_table(out.classes, tabulate_classes(indices), CLASS_COLUMNS)
    columns = {"layer": main.layer.tolist(), "expert": main.expert.tolist()}
    columns |= {"class": list(main.kind), "group": list(main.group)}
    said = {"model": model, "languages": list(codes), "threshold": threshold}
    write_record(out.experts, EXPERT_CLASSES, columns, **said)


def _index_row(index: ExpertIndex, codes: Sequence[str], row: int) -> dict[str, Any]:
    frequencies = {f"frequency_{code}": float(index.frequency[row, idx]) for idx, code in enumerate(codes)}
    numbers = ("entropy", "difference", "low", "high", "p_value", "q_value", "gap_q_value", "group_q_value")
    counts = ("layer", "expert", "n_languages_high")
    return {
        **frequencies,
        **{name: float(getattr(index, name)[row]) for name in numbers},
        **{name: int(getattr(index, name)[row]) for name in counts},
        "top_language": codes[index.top[row]],
        "next_language": codes[index.next[row]],
        "group_above": index.group_above[row],
        "class": index.kind[row],
        "group": index.group[row],
    }

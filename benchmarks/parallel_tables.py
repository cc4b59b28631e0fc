"""Tables of docs/parallel.md and docs/evidence.md about parallel text, out of a finished run, as Markdown.

    make parallel
    python benchmarks/parallel_tables.py results/parallel/results/gemma-3-270m

One part: ``... claims``; the parts are those of ``PARTS``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scipy.stats import spearmanr

from babelscope.evidence.corpus_distances import read_corpora
from babelscope.files.tables import read_table

Row = dict[str, str]
# columns of config/parallel.yaml: name of the corpus, and what it is
CORPORA = {
    "sentences": "(a) packaged sentences",
    "main": "(b) parallel messages",
    "all domains": "(c) both, domain random",
    "romanised": "(d) romanised",
    "shuffled": "(e) words shuffled",
}
VERDICTS = {"holds": "**holds**", "does not hold": "fails"}
MEASURES = ("euclidean", "kl", "pearson")
CLASSES = (
    "all tokens",
    "own script, starts of words",
    "digits",
    "punctuation",
    "in all languages",
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(text: str, digits: int = 2) -> str:
    """A number of a table, rounded; a dash where there is none."""
    return f"{float(text):.{digits}f}" if text else "-"


def interval(row: Row, value: str, digits: int = 2) -> str:
    """Value and interval of a row."""
    if not row.get("low"):
        return number(row[value], digits)
    return f"{number(row[value], digits)} [{number(row['low'], digits)}, {number(row['high'], digits)}]"


def verdict(row: Row | None) -> str:
    """What a row of claims says."""
    if row is None or not row["value"]:
        return "-"
    said = VERDICTS.get(row["verdict"], row["verdict"])
    if not row["low"]:
        return f"p = {number(row['value'], 3)} {said}"
    return f"{interval(row, 'value')} {said}"


def claims_table(rows: list[Row], columns: dict[str, str]) -> tuple[str, dict[str, list[str]]]:
    """Claims by corpus, and by claim its verdicts."""
    by_key = {(row["id"], row["corpus"]): row for row in rows}
    ids = list(dict.fromkeys(row["id"] for row in rows))
    found = {claim: [by_key.get((claim, name)) for name in columns] for claim in ids}
    lines = ([f"`{claim}`", *map(verdict, cells)] for claim, cells in found.items())
    verdicts = {claim: [cell["verdict"] if cell else "" for cell in cells] for claim, cells in found.items()}
    return table(["statistic", *columns.values()], lines), verdicts


def claims(folder: Path) -> str:
    """The paper's claims on every kind of text, and which survive all."""
    text, verdicts = claims_table(read_table(folder / "evidence" / "corpora_claims.csv"), CORPORA)
    lines = [text, ""]
    for said in VERDICTS:
        alike = [f"`{claim}`" for claim, of in verdicts.items() if set(of) == {said}]
        lines.append(f"{len(alike)} of {len(verdicts)}: {said} on all five: {', '.join(alike) or 'none'}.")
    return "\n".join(lines)


def floor(folder: Path) -> str:
    """Every language in two corpora."""
    rows = [row for row in read_table(folder / "evidence" / "domains.csv") if row["measure"] == "euclidean"]
    pairs = list(dict.fromkeys((row["corpus_a"], row["corpus_b"]) for row in rows))
    texts = []
    for a, b in pairs:
        chosen = [row for row in rows if (row["corpus_a"], row["corpus_b"]) == (a, b)]
        head = ["language", f"distance, {a} and {b}", "halves", "times", f"nearest, {a}", f"nearest, {b}"]
        cells = []
        for row in chosen:
            nearest = [f"{row[f'nearest_{s}']} ({number(row[f'distance_nearest_{s}'])})" for s in "ab"]
            times = [number(row["halves"]), number(row["times_halves"], 1)]
            cells.append([row["language"], interval(row, "distance"), *times, *nearest])
        texts.append(table(head, cells))
    return "\n\n".join(texts)


def components(folder: Path) -> str:
    """Variance of language, domain, their interaction, documents."""
    rows = read_table(folder / "evidence" / "variance_components.csv")
    cells = []
    for row in rows:
        share = f"{100 * float(row['share']):.1f} %"
        cells.append([row["component"], interval(row, "squared"), number(row["distance"]), share])
    return table(["component", "variance", "distance", "share"], cells)


def explanations(folder: Path) -> str:
    """Mantel correlations of the Euclidean distances, alone and with other predictors held constant."""
    rows = [
        row
        for row in read_table(folder / "evidence" / "corpora_families.csv")
        if row["measure"] == "euclidean" and "mantel" in row["test"] and not row["within"]
    ]
    by_key = {(row["predictor"], row["controls"], row["corpus"]): row for row in rows}
    asked = list(dict.fromkeys((row["predictor"], row["controls"]) for row in rows))
    cells = []
    for predictor, controls in asked:
        line = [predictor, controls.replace("+", ", ") or "nothing"]
        for corpus in CORPORA:
            row = by_key.get((predictor, controls, corpus))
            if row is None or not row["effect"]:
                line.append("-")
            else:
                line.append(f"{number(row['effect'])} (p = {number(row['p_value'], 3)})")
        cells.append(line)
    return table(["what", "held constant", *CORPORA.values()], cells)


def sentences(folder: Path) -> str:
    """The same sentence in two languages: the least and the most alike pairs."""
    rows = read_table(folder / "evidence" / "sentences.csv")
    chosen = []
    for key in ("excess", "retrieved"):
        ordered = sorted(rows, key=lambda row, key=key: float(row[key]))  # type: ignore[misc]
        chosen += [ordered[0], ordered[-1]]
    head = ["pair", "sentences", "cosine of the same less that of others", "nearest to their own translation"]
    cells = [
        [
            f"{row['language_a']}, {row['language_b']}", row["n_sentences"], interval(row, "excess"),
            f"{number(row['retrieved'])} [{number(row['retrieved_low'])}, {number(row['retrieved_high'])}]",
        ]
        for row in chosen
    ]  # fmt: skip
    return table(head, cells) + f"\n\n{sum(float(row['low']) > 0 for row in rows)} of {len(rows)} above 0."


def classes(folder: Path) -> str:
    """What is left of the picture and of the claims on one class of tokens."""
    rows = read_table(folder / "evidence" / "class_similarity.csv")
    names = [name for name in dict.fromkeys(row["class"] for row in rows) if name != "all tokens"]
    by_key = {(row["class"], row["measure"]): row for row in rows}
    cells = ([name, *(interval(by_key[name, m], "correlation") for m in MEASURES)] for name in names)
    similar = table(["class", *MEASURES], cells)
    shares: dict[str, list[float]] = {}
    for row in read_table(folder / "evidence" / "token_classes.csv"):
        shares.setdefault(row["class"], []).append(100 * float(row["share"]))
    sizes = "; ".join(f"{name}: {min(of):.1f} to {max(of):.1f} %" for name, of in shares.items())
    text, _ = claims_table(
        read_table(folder / "evidence" / "class_claims.csv"), {name: name for name in CLASSES}
    )
    return f"{similar}\n\nShare of a language's tokens: {sizes}.\n\n{text}"


def own_ranks(rows: list[Row]) -> dict[str, list[int]]:
    """By selection, the place of each language's own experts among all that read it: 1 is the least loss."""
    losses: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        losses.setdefault((row["selection"], row["language"]), {})[row["experts_of"]] = float(row["nll"])
    found: dict[str, list[int]] = {}
    for (selection, language), of in losses.items():
        if language in of:
            found.setdefault(selection, []).append(1 + sum(nll < of[language] for nll in of.values()))
    return found


def matrix(folder: Path) -> str:
    """Own experts against other languages' on the same sentences, nats per sentence."""
    rows = read_table(folder / "pruning_matrix_paired.csv")
    ranks = own_ranks(read_table(folder / "pruning_matrix.csv"))
    selections = list(dict.fromkeys(row["selection"] for row in rows))
    lines = []
    for selection in selections:
        chosen = [row for row in rows if row["selection"] == selection]
        pairs, every = chosen[:-1], chosen[-1]
        better = sum(float(row["low"]) > 0 for row in pairs)
        worse = sum(float(row["high"]) < 0 for row in pairs)
        own = ranks[selection]
        lines.append(
            [
                f"`{selection}`", interval(every, "advantage"), str(better), str(worse),
                str(own.count(1)), f"{sum(own) / len(own):.1f}",
            ]
        )  # fmt: skip
    head = [
        "selection",
        "advantage",
        "pairs above 0",
        "below 0",
        "languages whose own are best",
        "mean place",
    ]
    last = [row for row in rows if row["selection"] == selections[-1] and row["language_b"]]
    by_key = {(row["language_a"], row["language_b"]): row for row in last}
    languages = list(dict.fromkeys(code for pair in by_key for code in pair))
    cells = (
        [a, *(interval(by_key[a, b], "advantage", 1) if (a, b) in by_key else "" for b in languages[1:])]
        for a in languages[:-1]
    )
    text = f"{table(head, lines)}\n\n`{selections[-1]}`:\n\n{table(['', *languages[1:]], cells)}"
    if (folder / "evidence" / "corpora.h5").exists():
        codes, distances, _ = read_corpora(folder / "evidence" / "corpora.h5", folder.name)
        apart = [distances["euclidean"][codes.index(a), codes.index(b)] for a, b in by_key]
        found = spearmanr(apart, [float(row["advantage"]) for row in by_key.values()])
        text += f"\n\nRank correlation with the pairs' Euclidean distance: {found.statistic:.2f}."
    return text + f"\n\n{rows[0]['n_sentences']} sentences."


PARTS: dict[str, Callable[[Path], str]] = {
    "claims": claims,
    "floor": floor,
    "components": components,
    "explanations": explanations,
    "sentences": sentences,
    "classes": classes,
    "matrix": matrix,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="results/{model} of a run of the target corpora")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all where none is named")
    args = parser.parse_args()
    for name in args.parts or PARTS:
        print(f"\n{name}\n\n{PARTS[name](args.folder)}")


if __name__ == "__main__":
    main()

"""How often a study without any effect gets a verdict "holds": all claims about recordings together.

Three kinds of studies without an effect:

- *dealt out*: the blocks of all languages of a real study, pooled and dealt out at random, in all its
  partitions. No language is left; the texts, the model and the noise are real.
- *the same*: languages drawn with the same frequencies. Their layers are made up, so that only claims about
  families, neighbours and measures are counted.
- *own parts*: languages that differ, each by itself. Contrasts between named languages are real there, and
  only claims about families are counted.

A claim that holds in pooled text, too, as its row says (``pooled_verdict``), says nothing about languages:
there a false "holds" is one of ``beyond``, what the languages add.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from planted_tests import OWN, ROOT, Predictors, Row, draw_study

from babelscope.evidence.claims import DEPENDS, HOLDS, ClaimRow, Criterion, paper_table_3, read_criteria
from babelscope.evidence.draws import shuffle_languages
from babelscope.evidence.families import read_family_predictors, relate_to_families
from babelscope.evidence.replicates import corrected_distances, study_settings
from babelscope.evidence.robustness import MainStudy
from babelscope.evidence.study_replicates import StudyQuestion
from babelscope.recording.counts import ActivationCounts, read_activations
from babelscope.statistics.ratios import wilson
from babelscope.study.languages import Language, read_languages

REAL, SAME, APART = "dealt out", "the same", "own parts"
COUNTED = {REAL: "", SAME: ("families.", "neighbours.", "measures."), APART: "families."}
THRESHOLDS = {REAL: 0.05, SAME: 0.02, APART: 0.02}
CHUNK = {REAL: 1, SAME: 10, APART: 10}
Partitions = dict[str, list[ActivationCounts]]


@lru_cache
def read_study(folder: Path, codes: tuple[str, ...]) -> tuple[Partitions, dict[str, np.ndarray]]:
    """Recordings of the languages by equivalent partition, the study's own first, and their predictors."""
    others = sorted(path.name for path in (folder / "variants").glob("seed_*"))
    partitions = {
        name: [
            read_activations(
                folder / part / "activations" / f"{code}.h5", model=folder.name, language=code, variant=name
            )
            for code in codes
        ]
        for name, part in {"main": "", **{other: f"variants/{other}" for other in others}}.items()
    }
    return partitions, read_family_predictors(folder / "evidence" / "families.h5", folder.name, codes)


def judge(
    partitions: Partitions, languages: Sequence[Language], predictors: Predictors, threshold: float, seed: int
) -> list[ClaimRow]:
    """Rows of ``claims.csv`` that the recordings decide, as a run makes them."""
    criteria = read_criteria(ROOT / "resources" / "claims.yaml")
    paper = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
    main, *_ = partitions.values()
    others = {name: counts for name, counts in partitions.items() if counts is not main}
    asked = StudyQuestion(languages, study_settings(threshold, []), paper_table_3(paper), 500, seed)
    replicates, _ = asked.replicate(main, others)
    tests = relate_to_families(
        corrected_distances(replicates), languages, predictors, seed, replicates.partitions
    )
    return MainStudy(replicates, tests).main_rows(criteria, paper)


def count_verdicts(
    kind: str, codes: tuple[str, ...], folder: Path, predictors: Predictors, chunk: int
) -> list[dict[str, list[str]]]:
    """Of every study of a task: ids of claims that hold, that hold in pooled text, to which languages add."""
    table = read_languages()
    languages = [table[code] for code in codes]
    criteria = read_criteria(ROOT / "resources" / "claims.yaml")
    found = []
    for study in range(chunk * CHUNK[kind], (chunk + 1) * CHUNK[kind]):
        if kind == REAL:
            real, predictors = read_study(folder, codes)
            # every partition's blocks are dealt to the same languages
            partitions = {name: shuffle_languages(counts, 10**6 + study) for name, counts in real.items()}
        else:
            rng = np.random.default_rng([1, study, *kind.encode()])
            partitions = {"main": draw_study(rng, predictors, {}, OWN if kind == APART else 0.0)}
        rows = judge(partitions, languages, predictors, THRESHOLDS[kind], study)
        rows = [row for row in rows if row.value is not None]
        found.append(
            {
                "asked": [row.id for row in rows],
                "holds": [row.id for row in rows if row.verdict == HOLDS],
                "depends": [row.id for row in rows if row.verdict == DEPENDS],
                "pooled": [row.id for row in rows if row.pooled_verdict == HOLDS],
                "adds": [row.id for row in rows if adds(row, criteria[row.id])],
            }
        )
    return found


def adds(row: ClaimRow, criterion: Criterion) -> bool:
    """True where the interval of what languages add lies wholly on the claim's side of nothing."""
    if row.beyond_low is None or row.beyond_high is None:
        return False
    return {"above": row.beyond_low > 0, "below": row.beyond_high < 0}.get(criterion.direction, False)


def false_holds(study: Mapping[str, list[str]], kind: str) -> list[str]:
    """Ids of the claims that a study without an effect wrongly says hold."""
    about = [row for row in study["asked"] if row.startswith(COUNTED[kind])]
    pooled, adding, holding = (set(study[name]) for name in ("pooled", "adds", "holds"))
    return [row for row in about if row in (adding if row in pooled else holding)]


def verdict_tasks(
    codes: Sequence[str], folder: Path, predictors: Predictors, n_studies: int
) -> dict[str, Any]:
    """Calls of ``count_verdicts`` by key: kind of study and number of the task."""
    return {
        f"{kind}|{chunk}": partial(count_verdicts, kind, tuple(codes), folder, dict(predictors), chunk)
        for kind in (SAME, APART, REAL)
        for chunk in range(-(-n_studies // CHUNK[kind]))
    }


def tabulate_verdicts(found: Mapping[str, Any]) -> list[Row]:
    """Rates by kind of study and claim, and of any false "holds", with 95 % intervals."""
    rows: list[Row] = []
    for kind in (REAL, SAME, APART):
        studies = [one for key, part in found.items() if key.startswith(f"{kind}|") for one in part]
        if not studies:
            continue
        wrong = [false_holds(one, kind) for one in studies]
        for row_id in ["any", *dict.fromkeys(name for one in studies for name in one["asked"])]:
            of_all = {
                name: float("nan")
                if row_id == "any"
                else float(np.mean([row_id in one[name] for one in studies]))
                for name in ("holds", "depends", "pooled", "adds")
            }
            n_false = sum(bool(one) if row_id == "any" else row_id in one for one in wrong)
            low, high = wilson(n_false, len(studies))
            rates = {"false_holds": n_false / len(studies), "false_low": low, "false_high": high}
            rows.append({"kind": kind, "id": row_id, "studies": len(studies), **of_all, **rates})
    return rows

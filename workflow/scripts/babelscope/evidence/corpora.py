"""The claims in every corpus of a study: its own, other domains, all domains, and pseudo-languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from babelscope.evidence.claim_statistics import CONTRASTS, RANGES
from babelscope.evidence.claims import (
    FAILS,
    HOLDS,
    UNDECIDED,
    ClaimRow,
    Criteria,
    judge_recordings,
    paper_table_3,
)
from babelscope.evidence.domains import DomainDraws, draw_domains, few_languages, stack_domains
from babelscope.evidence.draws import AnyDraws, Replicates, draw
from babelscope.evidence.families import FamilyTest, claim_p_values, relate_to_families
from babelscope.evidence.predictors import KINSHIP
from babelscope.evidence.replicates import (
    MAIN,
    claim_estimates,
    corrected_distances,
    replicate_claims,
    study_settings,
)
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import Estimate, spread_of_mean
from babelscope.study.languages import Language

TOGETHER = "all domains"
CORPORA_COLUMNS = (
    "id", "claim", "statistic", "corpus", "n_languages", "value", "low", "high", "verdict", "by_domain",
)  # fmt: skip
CORPORA_FAMILY_COLUMNS = (
    "corpus", "measure", "test", "predictor", "controls", "within", "effect", "p_value", "p_high",
    "n_languages",
)  # fmt: skip


@dataclass(frozen=True)
class CorpusSet:
    """One corpus of the languages.

    Attributes
    ----------
    name : ``main``, a domain, or a derived corpus. domain : whether it is main or a domain.
    languages : those that have it, of a derived corpus those it has no pseudo-language of as they are.
    counts : their recordings. predictors : ``predictors_of`` its documents.
    """

    name: str
    domain: bool
    languages: Sequence[Language]
    counts: Sequence[ActivationCounts]
    predictors: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Question:
    """What every corpus is asked: criteria, the paper's numbers, threshold, size of the bootstrap, seed."""

    criteria: Criteria
    paper: Mapping[str, Any]
    threshold: float
    n_replicates: int
    seed: int


@dataclass(frozen=True)
class CorpusVerdicts:
    """Rows of the claims and tests of families by name of the corpus, and how many languages each has."""

    claims: dict[str, list[ClaimRow]]
    families: dict[str, list[FamilyTest]]
    n_languages: dict[str, int]


def judge_corpora(sets: Sequence[CorpusSet], asked: Question) -> CorpusVerdicts:
    """Judge the claims in every corpus, and over all domains with the domain as a random effect."""
    found = CorpusVerdicts({}, {}, {})
    for one in sets:
        judge_corpus(found, one, asked)
    domains = [one for one in sets if one.domain]
    if len(domains) > 1:
        _judge_together(found, domains, asked)
    return found


def judge_corpus(
    found: CorpusVerdicts, one: CorpusSet, asked: Question, draws: AnyDraws | None = None, wider: float = 1.0
) -> Replicates:
    """Judge the claims in one corpus and add them to what is found; its bootstrap is returned.

    Parameters
    ----------
    draws : of the corpus; without them its blocks are drawn. wider : intervals are so many times as wide.
    """
    codes = [row.code for row in one.languages]
    draws = draws or draw(one.counts, codes, asked.n_replicates, asked.seed)
    replicates = replicate_claims(draws, one.languages, _settings(asked), paper_table_3(asked.paper))
    estimates = {
        name: estimate.stretched(wider).clipped(*RANGES.get(name, (None, None)))
        for name, estimate in claim_estimates(replicates, MAIN).items()
    }
    _add(found, one.name, replicates, one.languages, one.predictors, asked, estimates)
    return replicates


def _judge_together(found: CorpusVerdicts, domains: Sequence[CorpusSet], asked: Question) -> None:
    """Add the verdicts over domains, for the languages that all of them have."""
    codes = [{row.code for row in one.languages} for one in domains]
    kept = [i for i, row in enumerate(domains[0].languages) if all(row.code in have for have in codes)]
    languages = [domains[0].languages[i] for i in kept]
    if len(languages) < 3:
        return
    chosen = [_select(one, [row.code for row in languages]) for one in domains]
    frequency = stack_domains([[count.frequency for count in one.counts] for one in chosen])
    n_tokens = np.array([[count.n_tokens.sum() for count in one.counts] for one in chosen])
    rng = np.random.default_rng([asked.seed, len(languages), len(domains)])
    draws = draw_domains(frequency, n_tokens, asked.n_replicates, rng)
    table_3 = paper_table_3(asked.paper)
    replicates = replicate_claims(draws, languages, _settings(asked), table_3)
    alone = [_estimates_alone(one, languages, asked) for one in chosen]
    estimates = over_domains(claim_estimates(replicates, MAIN), alone, draws)
    predictors = {
        name: np.mean([one.predictors[name] for one in chosen], axis=0)
        for name in chosen[0].predictors
        if all(name in one.predictors for one in chosen)
    }
    rows = _add(found, TOGETHER, replicates, languages, predictors, asked, estimates)
    single = [found.claims[one.name] for one in domains]
    found.claims[TOGETHER] = [
        agree_over_domains(row, {one.name: by_id[i] for one, by_id in zip(domains, single, strict=True)})
        for i, row in enumerate(rows)
    ]


def over_domains(
    drawn: Mapping[str, Estimate], alone: Sequence[Mapping[str, Estimate]], draws: DomainDraws
) -> dict[str, Estimate]:
    """Estimates with the domain as a random effect.

    Statistics that compare languages within a corpus are moved by the interactions, which every language
    repeats: theirs are the replicates of ``DomainDraws``. What else is said, about depth or amounts, is moved
    by what a domain does to all languages alike, and has as many repetitions as there are domains: the mean,
    with Student's t over them.

    Parameters
    ----------
    drawn : of the replicates of ``draws``. alone : the same statistics in each domain alone.
    """
    n_domains, n_languages = draws.frequency.shape[:2]
    wider = few_languages(n_languages, n_domains)
    found = {}
    for name, estimate in drawn.items():
        if name in CONTRASTS or name == "same_signs":
            found[name] = estimate.stretched(wider).clipped(*RANGES.get(name, (None, None)))
            continue
        values = np.array([float(one[name].corrected) for one in alone])
        mean = np.array(values.mean())
        half = spread_of_mean(values)
        whole = Estimate(mean, mean, mean - half, mean + half)
        found[name] = whole.clipped(*RANGES.get(name, (None, None)))
    return found


def agree_over_domains(row: ClaimRow, alone: Mapping[str, ClaimRow]) -> ClaimRow:
    """A row over domains: decided only as every domain decides it; ``depends_on`` says what each has."""
    said = "; ".join(f"{name}: {_number(one)} {one.verdict}" for name, one in alone.items())
    verdicts = {one.verdict for one in alone.values()}
    decided = row.verdict in (HOLDS, FAILS) and verdicts == {row.verdict}
    return replace(row, verdict=row.verdict if decided else UNDECIDED, depends_on=said)


def claim_table(found: CorpusVerdicts) -> list[dict[str, Any]]:
    """Rows of ``corpora_claims.csv``."""
    return [
        {
            **{
                name: getattr(row, name)
                for name in ("id", "claim", "statistic", "value", "low", "high", "verdict")
            },
            "corpus": corpus,
            "n_languages": found.n_languages[corpus],
            "by_domain": row.depends_on,
        }
        for corpus, rows in found.claims.items()
        for row in rows
    ]


def family_table(found: CorpusVerdicts) -> list[dict[str, Any]]:
    """Rows of ``corpora_families.csv``."""
    names = CORPORA_FAMILY_COLUMNS[1:-1]
    return [
        {
            "corpus": corpus,
            **{name: getattr(test, name) for name in names},
            "n_languages": found.n_languages[corpus],
        }
        for corpus, tests in found.families.items()
        for test in tests
    ]


def _settings(asked: Question) -> dict[str, Any]:
    return {MAIN: study_settings(asked.threshold, [])[MAIN]}


def _select(one: CorpusSet, codes: Sequence[str]) -> CorpusSet:
    at = [[row.code for row in one.languages].index(code) for code in codes]
    return replace(
        one,
        languages=[one.languages[i] for i in at],
        counts=[one.counts[i] for i in at],
        predictors={name: matrix[np.ix_(at, at)] for name, matrix in one.predictors.items()},
    )


def _estimates_alone(one: CorpusSet, languages: Sequence[Language], asked: Question) -> dict[str, Estimate]:
    draws = draw(one.counts, [row.code for row in languages], asked.n_replicates, asked.seed)
    replicates = replicate_claims(draws, languages, _settings(asked), paper_table_3(asked.paper))
    return claim_estimates(replicates, MAIN)


def _add(
    found: CorpusVerdicts,
    name: str,
    replicates: Replicates,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    asked: Question,
    estimates: Mapping[str, Estimate],
) -> list[ClaimRow]:
    distances = corrected_distances(replicates)
    # where all languages are romanised, script explains nothing
    told = {key: matrix for key, matrix in predictors.items() if key == KINSHIP or np.ptp(_pairs(matrix)) > 0}
    p_values = claim_p_values(distances["euclidean"], languages, told, asked.seed)
    found.claims[name] = judge_recordings(asked.criteria, estimates, p_values, asked.paper)
    found.families[name] = relate_to_families(distances, languages, told, asked.seed)
    found.n_languages[name] = len(languages)
    return found.claims[name]


def _pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), 1)]


def _number(row: ClaimRow) -> str:
    return "" if row.value is None else f"{row.value:.3g}"

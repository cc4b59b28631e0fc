"""All corpora of a study read together, and what is written about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from babelscope.evidence.claims import read_criteria
from babelscope.evidence.corpora import (
    CORPORA_COLUMNS,
    CORPORA_FAMILY_COLUMNS,
    CorpusSet,
    Question,
    claim_table,
    family_table,
    judge_corpora,
)
from babelscope.evidence.corpus_distances import DOMAIN_COLUMNS, corpus_distances, domain_rows, write_corpora
from babelscope.evidence.domains import VARIANCE_COLUMNS, variance_components
from babelscope.evidence.predictors import read_predictors
from babelscope.evidence.specificity import frequency_variance
from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.recording.together import RecordedLanguages, read_files
from babelscope.study.languages import Language

MAIN_CORPUS = "main"


def read_sets(
    paths: Any, model: str, languages: Sequence[Language], derived: Mapping[str, Mapping[str, Any]]
) -> tuple[RecordedLanguages, list[CorpusSet]]:
    """Every corpus of a study: the languages' own, domains and pseudo-languages.

    Parameters
    ----------
    paths : has lists ``activations`` and ``tokens`` of all corpora and ``texts`` of those that have texts.
    languages : of the study.
    derived : by name of a domain or a derived corpus: ``corpora`` (names), ``domain`` (bool), ``latin``
        (bool), ``texts`` (bool, False where it is made of tokens).

    Returns
    -------
    All recordings by corpus, and the sets; predictors of what is made of tokens are those of the study.
    """
    names = [row.code for row in languages] + [name for one in derived.values() for name in one["corpora"]]
    recordings = read_files(paths.activations, model, names)
    tokens = dict(zip(names, paths.tokens, strict=True))
    with_texts = [row.code for row in languages]
    with_texts += [name for one in derived.values() if one["texts"] for name in one["corpora"]]
    texts = dict(zip(with_texts, paths.texts, strict=True))

    def predictors(rows: Sequence[Language]) -> dict[str, np.ndarray]:
        codes = [row.code for row in rows]
        return read_predictors(rows, [tokens[code] for code in codes], [texts[code] for code in codes], model)

    own = predictors(languages)
    sets = [
        CorpusSet(MAIN_CORPUS, True, languages, recordings.together([row.code for row in languages]), own)
    ]
    for name, one in derived.items():
        made = {corpus.partition(".")[0]: corpus for corpus in one["corpora"]}
        rows = [row for row in languages if row.code in made or not one["domain"]]
        latin = {"script": "Latn", "script_family": "European"} if one["latin"] else {}
        shown = [replace(row, **(latin if row.code in made else {})) for row in rows]
        as_named = [replace(row, code=made.get(row.code, row.code)) for row in shown]
        counts = recordings.together([row.code for row in as_named])
        found = predictors(as_named) if one["texts"] else own
        sets.append(CorpusSet(name, one["domain"], shown, counts, found))
    return recordings, sets


def domain_variance(sets: Sequence[CorpusSet]) -> list[dict[str, Any]]:
    """Rows of ``variance_components.csv``, for the languages that all domains have; none for one domain."""
    domains = [one for one in sets if one.domain]
    common = [code for code in _codes(domains[0]) if all(code in _codes(one) for one in domains)]
    if len(domains) < 2 or len(common) < 3:
        return []
    counts = [[one.counts[_codes(one).index(code)] for code in common] for one in domains]
    frequency = np.stack([np.stack([count.frequency for count in row]) for row in counts])
    noise = np.array([[frequency_variance(count).sum() for count in row] for row in counts])
    return variance_components(frequency, noise)


def write_corpus_study(
    paths: Any,
    out: Any,
    model: str,
    languages: Sequence[Language],
    derived: Mapping[str, Mapping[str, Any]],
    *,
    threshold: float,
    n_replicates: int,
    n_splits: int,
    seed: int,
) -> None:
    """Read all corpora, judge the claims in each, and write what is found.

    Parameters
    ----------
    paths : as for ``read_sets``, and ``criteria`` and ``paper``.
    out : has paths ``claims``, ``families``, ``domains``, ``variance`` and ``distances``.
    """
    recordings, sets = read_sets(paths, model, languages, derived)
    asked = Question(read_criteria(paths.criteria), read_json(paths.paper), threshold, n_replicates, seed)
    verdicts = judge_corpora(sets, asked)
    write_table(out.claims, claim_table(verdicts), CORPORA_COLUMNS)
    write_table(out.families, family_table(verdicts), CORPORA_FAMILY_COLUMNS)
    # what is made of tokens has other documents: it is drawn by itself
    together = [row.code for row in languages]
    together += [name for one in derived.values() if one["texts"] for name in one["corpora"]]
    alone = [name for one in derived.values() if not one["texts"] for name in one["corpora"]]
    counts = recordings.together(together) + [recordings.together([name])[0] for name in alone]
    sizes = {"n_replicates": n_replicates, "n_splits": n_splits, "seed": seed}
    distances, floor = corpus_distances(counts, [*together, *alone], **sizes)
    write_corpora(out.distances, distances, floor, [*together, *alone], model)
    domains = {MAIN_CORPUS: {row.code: row.code for row in languages}}
    for name, one in derived.items():
        if one["domain"]:
            domains[name] = {corpus.partition(".")[0]: corpus for corpus in one["corpora"]}
    write_table(out.domains, domain_rows(distances, floor, [*together, *alone], domains), DOMAIN_COLUMNS)
    write_table(out.variance, domain_variance(sets), VARIANCE_COLUMNS)


def _codes(one: CorpusSet) -> list[str]:
    return [row.code for row in one.languages]

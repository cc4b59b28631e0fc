"""How much of the findings is left on one class of tokens: starts of words, digits, shared tokens.

Tokens are the units of the bootstrap: the question is what another vocabulary of the same class would show.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.claims import read_criteria
from babelscope.evidence.corpora import (
    CORPORA_COLUMNS,
    CorpusSet,
    CorpusVerdicts,
    Question,
    claim_table,
    judge_corpus,
)
from babelscope.evidence.predictors import read_predictors
from babelscope.evidence.replicates import corrected_distances
from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.token_types import TokenTypes, read_token_types
from babelscope.statistics.bootstrap import LEVEL
from babelscope.study.languages import Language

EVERY = "all tokens"
CLASSES = (
    EVERY,
    "own script, starts of words",
    "own script, inside words",
    "without letters",
    "in all languages",
    "in several languages",
    "in one language",
)
CLASS_COLUMNS = ("class", "language", "n_types", "n_tokens", "share")
SIMILARITY_COLUMNS = ("class", "measure", "correlation", "low", "high")
# Scripts that put no space between words: each of their tokens can begin one.
_SPACELESS = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})


def script_of(text: str) -> str:
    """Script of a token's first letter, as Unicode names begin, for instance LATIN; empty without one."""
    letter = next((c for c in text if unicodedata.category(c)[0] in "LM"), "")
    return unicodedata.name(letter, "").partition(" ")[0] if letter else ""


def class_members(types: Sequence[TokenTypes]) -> dict[str, list[np.ndarray]]:
    """By class, which tokens of each language belong to it, bool (n_types,) each.

    The last row, all tokens that were not kept apart, belongs to ``all tokens`` alone. The own script of a
    language is the one that most of its tokens are written in.
    """
    n_holders = Counter(int(i) for one in types for i in one.token_id[:-1][one.counts.n_tokens[:-1] > 0])
    found: dict[str, list[np.ndarray]] = {name: [] for name in CLASSES}
    for one in types:
        scripts = np.array([script_of(text) for text in one.text])
        named = np.arange(len(scripts)) < len(scripts) - 1
        weight = Counter({s: int(one.counts.n_tokens[scripts == s].sum()) for s in set(scripts[named]) if s})
        own = weight.most_common(1)[0][0] if weight else ""
        starts = np.array([text.startswith(" ") for text in one.text]) | (own in _SPACELESS)
        holders = np.array([n_holders[int(i)] for i in one.token_id])
        of_own = named & (scripts == own)
        visible = np.array([bool(text.strip()) and "\ufffd" not in text for text in one.text])
        found[EVERY].append(np.ones(len(scripts), dtype=bool))
        found["own script, starts of words"].append(of_own & starts)
        found["own script, inside words"].append(of_own & ~starts)
        found["without letters"].append(named & visible & (scripts == ""))
        found["in all languages"].append(named & (holders == len(types)))
        found["in several languages"].append(named & (holders > 1) & (holders < len(types)))
        found["in one language"].append(named & (holders == 1))
    return found


def select_rows(counts: ActivationCounts, member: np.ndarray) -> ActivationCounts:
    """The rows of some tokens that were seen; each is a block of the bootstrap."""
    kept = member & (counts.n_tokens > 0)
    return ActivationCounts(counts.n_active[kept], counts.n_tokens[kept], counts.top_k)


def judge_classes(
    types: Sequence[TokenTypes],
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    asked: Question,
) -> tuple[CorpusVerdicts, list[dict[str, Any]], list[dict[str, Any]]]:
    """Claims on each class of tokens that every language has two tokens of or more.

    Returns
    -------
    Verdicts by class; rows of ``token_classes.csv``; rows of ``class_similarity.csv``: rank correlation of
    the distances between languages on a class with those on all tokens, with an interval over tokens. Of
    ranges of positions there is no interval.
    """
    found = CorpusVerdicts({}, {}, {})
    sizes: list[dict[str, Any]] = []
    similar: list[dict[str, Any]] = []
    whole: dict[str, np.ndarray] = {}
    for name, members in class_members(types).items():
        counts = [select_rows(one.counts, member) for one, member in zip(types, members, strict=True)]
        for language, one, count in zip(languages, types, counts, strict=True):
            n = int(count.n_tokens.sum())
            row: dict[str, Any] = {"class": name, "language": language.code, "n_types": len(count.n_tokens)}
            sizes.append(row | {"n_tokens": n, "share": n / int(one.counts.n_tokens.sum())})
        if min(len(count.n_tokens) for count in counts) < 2:
            continue
        replicates = judge_corpus(found, CorpusSet(name, False, languages, counts, predictors), asked)
        corrected = corrected_distances(replicates)
        whole = whole or corrected
        for measure in MEASURES:
            key = f"distance/{measure}"
            drawn = [_rank_correlation(one, whole[measure]) for one in replicates.drawn[key]]
            # noise makes every replicate less alike: their spread is laid around the value without it
            value = _rank_correlation(corrected[measure], whole[measure])
            tail = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - np.mean(drawn)
            low, high = np.clip(value + tail, -1.0, 1.0)
            row = {"class": name, "measure": measure, "correlation": value}
            similar.append(row | {"low": float(low), "high": float(high)})
    return found, sizes, similar + _positions(types, whole)


def write_classes(
    paths: Any,
    out: Any,
    model: str,
    languages: Sequence[Language],
    *,
    threshold: float,
    n_replicates: int,
    seed: int,
) -> None:
    """Read counts by token of all languages, judge the claims on each class, and write what is found.

    Parameters
    ----------
    paths : has lists ``types``, ``tokens`` and ``texts``, one file per language, and ``criteria``, ``paper``.
    out : has paths ``claims``, ``classes`` and ``similarity``.
    """
    types = [
        read_token_types(path, model, row.code) for path, row in zip(paths.types, languages, strict=True)
    ]
    predictors = read_predictors(languages, paths.tokens, paths.texts, model)
    asked = Question(read_criteria(paths.criteria), read_json(paths.paper), threshold, n_replicates, seed)
    found, sizes, similar = judge_classes(types, languages, predictors, asked)
    write_table(out.claims, claim_table(found), CORPORA_COLUMNS)
    write_table(out.classes, sizes, CLASS_COLUMNS)
    write_table(out.similarity, similar, SIMILARITY_COLUMNS)


def _positions(types: Sequence[TokenTypes], whole: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = []
    for idx, first in enumerate(types[0].first):
        n_tokens = np.array([one.positions.n_tokens[idx] for one in types])
        if not n_tokens.all():
            continue
        n_active = np.stack([one.positions.n_active[idx] for one in types])
        distances = as_distances(total_measures(compare_layers(n_active / n_tokens[:, None, None], n_tokens)))
        rows += [
            {
                "class": f"from position {first}",
                "measure": measure,
                "correlation": _rank_correlation(distances[measure], whole[measure]),
                "low": None,
                "high": None,
            }
            for measure in MEASURES
        ]
    return rows


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    pairs = np.triu_indices(len(a), 1)
    if np.ptp(a[pairs]) == 0 or np.ptp(b[pairs]) == 0:
        return float("nan")
    return float(spearmanr(a[pairs], b[pairs]).statistic)

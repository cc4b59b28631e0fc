"""How much of the findings is left on one class of tokens: starts of words, digits, shared tokens.

Tokens are the units of the bootstrap: the question is what another vocabulary of the same class would show. A
token that several languages have is drawn for all of them together: what it does in all of them cancels.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import gammaincinv, stdtrit
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
from babelscope.evidence.draws import Draws, Replicates
from babelscope.evidence.predictors import read_predictors
from babelscope.evidence.replicates import corrected_distances
from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.token_types import TokenTypes, read_token_types
from babelscope.statistics.bootstrap import LEVEL, estimate
from babelscope.study.languages import Language

EVERY = "all tokens"
CLASSES = (
    EVERY,
    "own script, starts of words",
    "own script, inside words",
    "another script",
    "without letters",
    "digits",
    "punctuation",
    "in all languages",
    "in several languages",
    "in one language",
)
CLASS_COLUMNS = ("class", "language", "n_types", "n_tokens", "share")
SIMILARITY_COLUMNS = ("class", "measure", "correlation", "low", "high")
# Of the weights of a token that is nearly all of its class: with less most replicates would lack it.
_LEAST_SHAPE = 0.25
_TAIL = (1 - LEVEL) / 2
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
        plain = named & visible & (scripts == "")
        digits = np.array([any(c.isdigit() for c in text) for text in one.text])
        found["another script"].append(named & (scripts != "") & (scripts != own))
        found["without letters"].append(plain)
        found["digits"].append(plain & digits)
        found["punctuation"].append(plain & ~digits)
        found["in all languages"].append(named & (holders == len(types)))
        found["in several languages"].append(named & (holders > 1) & (holders < len(types)))
        found["in one language"].append(named & (holders == 1))
    return found


def select_rows(counts: ActivationCounts, member: np.ndarray) -> ActivationCounts:
    """The rows of some tokens that were seen; each is a block of the bootstrap."""
    kept = member & (counts.n_tokens > 0)
    return ActivationCounts(counts.n_active[kept], counts.n_tokens[kept], counts.top_k)


def draw_tokens(
    types: Sequence[TokenTypes], members: Sequence[np.ndarray], n_replicates: int, seed: int
) -> Draws:
    """Draw the tokens of a class, each for all languages that have it.

    Every token has weights of its own, whatever the languages: of the gamma distribution (weighted bootstrap;
    Rubin 1981, "The Bayesian bootstrap") with mean 1 and variance ``1 / (1 - share)``. A token that is a
    large share of its class pulls the mean towards itself and seems to differ less from it than it does
    (HC2: MacKinnon and White 1985); of n equal ones that is ``n / (n - 1)``, as ``draw_weights`` has it.

    Parameters
    ----------
    types : of each language. members : bool (n_types,) each.
    """
    counts, weights = [], []
    drawn: dict[int, np.ndarray] = {}
    for idx, (one, member) in enumerate(zip(types, members, strict=True)):
        count = select_rows(one.counts, member)
        columns = []
        for token in one.token_id[member & (one.counts.n_tokens > 0)].tolist():
            # the tokens that were not kept apart are others in every language
            key = token if token >= 0 else -1 - idx
            if key not in drawn:
                drawn[key] = np.random.default_rng([seed, key >= 0, abs(key)]).random(n_replicates)
            columns.append(drawn[key])
        shape = np.maximum(1 - count.n_tokens / count.n_tokens.sum(), _LEAST_SHAPE)
        counts.append(count)
        weights.append(gammaincinv(shape, np.stack(columns, axis=1)) / shape)
    return Draws(counts, weights)


def few_tokens(counts: Sequence[ActivationCounts], level: float = LEVEL) -> float:
    """By how much an interval is wider because few tokens make up most of the class.

    Student's t over the normal distribution, for as many equal tokens as have the same variance of their mean
    (Kish 1965, "Survey sampling"), in the language that has the fewest.
    """
    equal = [float(count.n_tokens.sum() ** 2 / (count.n_tokens.astype(float) ** 2).sum()) for count in counts]
    tail = 0.5 + level / 2
    return float(stdtrit(max(min(equal) - 1, 1.0), tail) / stdtrit(1e9, tail))


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
        draws = draw_tokens(types, members, asked.n_replicates, asked.seed)
        one_class = CorpusSet(name, False, languages, counts, predictors)
        wider = few_tokens(counts)
        replicates = judge_corpus(found, one_class, asked, draws, wider)
        whole = whole or corrected_distances(replicates)
        similar += similarity_rows(name, replicates, whole, wider)
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


def similarity_rows(
    name: str, replicates: Replicates, whole: Mapping[str, np.ndarray], wider: float
) -> list[dict[str, Any]]:
    """Rows of ``class_similarity.csv`` of one class.

    Noise of tokens makes the class less like the whole, in the data and once more in every replicate. So the
    interval reaches from where replicates lie to where the data would lie without as much (the percentile
    interval and the basic one together): too wide where there are many tokens, never far too narrow. The
    value is that of the data, with their noise.

    Parameters
    ----------
    replicates : of the class. whole : corrected distances on all tokens, by measure.
    wider : ``few_tokens`` of the class.
    """
    rows = []
    for measure in MEASURES:
        key = f"distance/{measure}"
        drawn = np.array([rank_correlation(one, whole[measure]) for one in replicates.drawn[key]])
        value = rank_correlation(replicates.values[key], whole[measure])
        basic, inner = estimate(np.array(value), drawn), np.quantile(drawn, [_TAIL, 1 - _TAIL])
        ends = min(basic.low, inner[0]), max(basic.high, inner[1])
        ends = min(value, *ends), max(value, *ends)
        low, high = np.clip([value + wider * (end - value) for end in ends], -1.0, 1.0)
        row = {"class": name, "measure": measure, "correlation": value}
        rows.append(row | {"low": float(low), "high": float(high)})
    return rows


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
                "correlation": rank_correlation(distances[measure], whole[measure]),
                "low": None,
                "high": None,
            }
            for measure in MEASURES
        ]
    return rows


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    pairs = np.triu_indices(len(a), 1)
    if np.ptp(a[pairs]) == 0 or np.ptp(b[pairs]) == 0:
        return float("nan")
    return float(spearmanr(a[pairs], b[pairs]).statistic)

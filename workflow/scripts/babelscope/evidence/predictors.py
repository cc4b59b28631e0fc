"""Possible explanations of the distances between languages: kinship, script, area, and their tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from babelscope.study.languages import Language
from babelscope.text.documents import read_documents
from babelscope.text.tokens import TokenizedCorpus, read_tokens

KINSHIP = "genealogy"
# What the encoding of a script makes of the number of tokens: told, and never held constant.
ENCODINGS = ("tokens_per_byte", "bytes_per_character")
# Told where the text is parallel: how many tokens a language needs to say the same.
SENTENCES = "tokens_per_sentence"
# Languages of one group by each of these can be asked for whether they are nearer to each other.
GROUPINGS: dict[str, Callable[[Language], str]] = {
    "genus": lambda row: f"{row.family}/{row.genus}",
    "family": lambda row: row.family,
    "script": lambda row: row.script,
    "script_family": lambda row: row.script_family or row.script,
    "area": lambda row: row.area or row.code,
}


def differs(languages: Sequence[Language], grouping: str) -> np.ndarray:
    """0 within a group, 1 between two, float64 (n, n); ``grouping`` is a key of ``GROUPINGS``."""
    groups = np.asarray([GROUPINGS[grouping](row) for row in languages])
    return (groups[:, None] != groups[None, :]).astype(np.float64)


def genealogical_distance(languages: Sequence[Language]) -> np.ndarray:
    """0 within a genus, 1 within a family, 2 between families, float64 (n, n)."""
    return differs(languages, "genus") + differs(languages, "family")


def count_characters(corpus: TokenizedCorpus, texts: Sequence[str]) -> np.ndarray:
    """Characters (Unicode code points) that the tokens of each document stand for, int64 (n_documents,).

    Parameters
    ----------
    texts : of the documents, in the corpus' order; a document that was cut covers the start of its text.
    """
    covered = (text.encode("utf-8")[:n] for text, n in zip(texts, corpus.n_bytes, strict=True))
    return np.array([len(part.decode("utf-8", "ignore")) for part in covered], dtype=np.int64)


def fertility(corpora: Sequence[TokenizedCorpus], n_characters: Sequence[np.ndarray]) -> np.ndarray:
    """Tokens per character of the profile documents, float64 (n_languages,).

    Per character and not per byte: UTF-8 spends one byte on a Latin letter and three on a Bengali one, so
    that tokens per byte order languages by their encoding.
    """
    values = []
    for corpus, characters in zip(corpora, n_characters, strict=True):
        lengths = np.diff(corpus.offsets)[corpus.profile_idx]
        values.append(lengths.sum() / characters[corpus.profile_idx].sum())
    return np.array(values, dtype=np.float64)


def encoding_distances(
    corpora: Sequence[TokenizedCorpus], n_characters: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """How far apart languages are in tokens per byte and in bytes per character, by ``ENCODINGS``.

    The first is the second's doing where scripts differ: with the second held constant it says what is left.
    """
    pairs = list(zip(corpora, n_characters, strict=True))
    n_tokens = np.array([np.diff(one.offsets)[one.profile_idx].sum() for one, _ in pairs], dtype=np.float64)
    n_bytes = np.array([one.n_bytes[one.profile_idx].sum() for one, _ in pairs], dtype=np.float64)
    characters = np.array([found[one.profile_idx].sum() for one, found in pairs], dtype=np.float64)
    return dict(
        zip(ENCODINGS, (log_distance(n_tokens / n_bytes), log_distance(n_bytes / characters)), strict=True)
    )


def sentence_distance(corpora: Sequence[TokenizedCorpus]) -> np.ndarray | None:
    """How far apart languages are in tokens per sentence, over the parallel sentences that all profiles have.

    Returns
    -------
    float64 (n, n); None where text is not parallel.
    """
    units = [one.unit[one.profile_idx] for one in corpora if one.unit is not None]
    if len(units) < len(corpora):
        return None
    common = units[0]
    for other in units[1:]:
        common = np.intersect1d(common, other)
    if len(common) == 0:
        return None
    lengths = [np.diff(one.offsets)[one.profile_idx] for one in corpora]
    means = [found[np.isin(own, common)].mean() for found, own in zip(lengths, units, strict=True)]
    return log_distance(np.array(means, dtype=np.float64))


def log_distance(values: np.ndarray) -> np.ndarray:
    """Absolute difference of the logarithms of one positive value per language, float64 (n, n)."""
    logs = np.log(values)
    return np.abs(logs[:, None] - logs[None, :])


def vocabulary_distance(corpora: Sequence[TokenizedCorpus]) -> np.ndarray:
    """Share of tokens that two languages' profile documents do not have in common, float64 (n, n).

    Total variation distance between the distributions over token ids: 1 less the sum over tokens of the
    smaller of the two shares. Samples of one language have a distance above zero, so it is taken between
    halves of the documents (every other one), as many tokens of each, and the mean of the two languages' own
    halves is taken away: about 0 for samples of one language, below 1 for languages that share nothing.
    """
    n_vocabulary = max(int(corpus.token_ids.max()) for corpus in corpora) + 1
    parts = [[corpus.take(_half(corpus, start)).token_ids for corpus in corpora] for start in (0, 1)]
    n_tokens = min(len(ids) for half in parts for ids in half)
    halves = np.array(
        [[np.bincount(ids[:n_tokens], minlength=n_vocabulary) / n_tokens for ids in half] for half in parts]
    )
    halves = halves[:, :, halves.any(axis=(0, 1))]
    apart = np.stack([1 - np.minimum(halves[1], row).sum(axis=1) for row in halves[0]])
    own = np.diag(apart)
    distance = (apart + apart.T) / 2 - (own[:, None] + own[None, :]) / 2
    return np.where(np.eye(len(own), dtype=bool), 0.0, distance)


def _half(corpus: TokenizedCorpus, start: int) -> np.ndarray:
    """Every other profile document; a single one is both halves."""
    idx = corpus.profile_idx
    return idx[start::2] if len(idx) > 1 else idx


def predictors_of(
    languages: Sequence[Language], corpora: Sequence[TokenizedCorpus], n_characters: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """All predictors by name, each float64 (n, n): genealogy first, then other explanations of distances.

    Parameters
    ----------
    n_characters : for each corpus ``count_characters``.
    """
    sentences = sentence_distance(corpora)
    return {
        KINSHIP: genealogical_distance(languages),
        **{name: differs(languages, name) for name in ("script", "script_family", "area")},
        "fertility": log_distance(fertility(corpora, n_characters)),
        "vocabulary": vocabulary_distance(corpora),
        **encoding_distances(corpora, n_characters),
        **({} if sentences is None else {SENTENCES: sentences}),
    }


def read_predictors(
    languages: Sequence[Language],
    token_files: Sequence[str | Path],
    text_files: Sequence[str | Path],
    model: str,
) -> dict[str, np.ndarray]:
    """``predictors_of`` with the token files and corpora of the languages, in their order."""
    corpora, n_characters = [], []
    for tokens, texts, language in zip(token_files, text_files, languages, strict=True):
        corpora.append(read_tokens(tokens, model, language.code))
        n_characters.append(
            count_characters(corpora[-1], [one.text for one in read_documents(texts, language.code)])
        )
    return predictors_of(languages, corpora, n_characters)


def choose(predictors: Mapping[str, np.ndarray], members: Sequence[int]) -> dict[str, np.ndarray]:
    """The predictors of some of the languages."""
    return {name: matrix[np.ix_(members, members)] for name, matrix in predictors.items()}

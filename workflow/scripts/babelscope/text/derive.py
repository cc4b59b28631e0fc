"""Pseudo-languages: the documents of a language with one of its properties taken away.

Script, order of words, shape of words, and number and kind of tokens differ between languages together. Each
derivation changes one of them and leaves the others, so that what a finding rests on can be seen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import regex

from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import Document
from babelscope.text.romanise import romanise
from babelscope.text.tokens import TokenizedCorpus

# Chinese and Japanese are written without spaces: each character is taken as a word.
_WORD = regex.compile(r"\p{Han}|\p{Hiragana}|\p{Katakana}|[^\s\p{Han}\p{Hiragana}\p{Katakana}]+")
_SPACELESS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")

OfTexts = Callable[[Sequence[Document], str, int], list[Document]]
OfTokens = Callable[[TokenizedCorpus, int, "TokenizedCorpus | None"], TokenizedCorpus]


@dataclass(frozen=True)
class Derivation:
    """One way to make a pseudo-language: out of texts or out of tokens, one of the two.

    Attributes
    ----------
    label : for figures. latin : whether the result is in Latin letters.
    of_texts : documents, code of the language and seed to documents.
    of_tokens : tokens, number of tokens asked for, and tokens of another language to tokens.
    """

    label: str
    of_texts: OfTexts | None = None
    of_tokens: OfTokens | None = None
    latin: bool = False


def romanised(documents: Sequence[Document], language: str, seed: int) -> list[Document]:
    """Every document in Latin letters."""
    return [replace(document, text=romanise(document.text, language)) for document in documents]


def shuffled(documents: Sequence[Document], language: str, seed: int) -> list[Document]:
    """The words of every document in a random order, the document's own."""
    found = []
    for document in documents:
        words = _WORD.findall(document.text)
        order = np.random.default_rng([seed, *document.id.encode()]).permutation(len(words))
        between = "" if _SPACELESS.search(document.text) else " "
        found.append(replace(document, text=between.join(words[i] for i in order)))
    return found


def permuted(documents: Sequence[Document], language: str, seed: int) -> list[Document]:
    """Every letter of the language replaced by another of its letters, the same one everywhere.

    Letters of a script are exchanged among themselves, upper case as lower case, and so are combining marks:
    words keep their length and letters their frequencies, and nothing can be read.
    """
    used = sorted({character for document in documents for character in document.text.lower()})
    pools: dict[tuple[str, ...], list[str]] = {}
    for c in used:
        kind = unicodedata.category(c)
        if kind[0] in "LM" and len(c.upper()) == 1:
            script = unicodedata.name(c, "").partition(" ")[0]
            pools.setdefault((kind[0], script, str(c != c.upper())), []).append(c)
    rng = np.random.default_rng([seed, *language.encode()])
    table: dict[str, str] = {}
    for own in pools.values():
        table |= dict(zip(own, (own[i] for i in rng.permutation(len(own))), strict=True))
    table |= {a.upper(): b.upper() for a, b in table.items() if a.upper() != a}
    changed = str.maketrans(table)
    return [replace(document, text=document.text.translate(changed)) for document in documents]


def equal_tokens(corpus: TokenizedCorpus, n_tokens: int, other: TokenizedCorpus | None) -> TokenizedCorpus:
    """The first ``n_tokens`` tokens of every document; shorter documents are left out."""
    return _keep(corpus, lambda tokens: np.arange(len(tokens)) < n_tokens, n_tokens)


def shared_tokens(corpus: TokenizedCorpus, n_tokens: int, other: TokenizedCorpus | None) -> TokenizedCorpus:
    """The tokens that profile documents of another language have, too, in their order."""
    known = _vocabulary(other)
    return _keep(corpus, lambda tokens: np.isin(tokens, known), 1)


def unshared_tokens(corpus: TokenizedCorpus, n_tokens: int, other: TokenizedCorpus | None) -> TokenizedCorpus:
    """The tokens that no profile document of another language has, in their order."""
    known = _vocabulary(other)
    return _keep(corpus, lambda tokens: ~np.isin(tokens, known), 1)


def _vocabulary(other: TokenizedCorpus | None) -> np.ndarray:
    assert other is not None, "the configuration names the other language"
    return np.unique(other.take(other.profile_idx).token_ids)


def _keep(
    corpus: TokenizedCorpus, choose: Callable[[np.ndarray], np.ndarray], n_least: int
) -> TokenizedCorpus:
    """Some tokens of every document; documents that keep fewer than ``n_least`` are left out.

    Raises
    ------
    BabelscopeError
        Where no profile or no held-out document is left.
    """
    kept = [tokens[choose(tokens)] for tokens in map(corpus.document, range(len(corpus.heldout)))]
    left = np.array([idx for idx, tokens in enumerate(kept) if len(tokens) >= n_least], dtype=np.int64)
    if not len(left) or corpus.heldout[left].all() or not corpus.heldout[left].any():
        raise BabelscopeError(
            f"{len(left)} documents keep {n_least} tokens or more, of both splits one is needed: ask for "
            "fewer (n_tokens of corpus.derive) or name another language (other)"
        )
    lengths = np.array([len(kept[idx]) for idx in left])
    share = lengths / np.diff(corpus.offsets)[left]
    return replace(
        corpus.take(left),
        token_ids=np.concatenate([kept[idx] for idx in left]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        n_bytes=np.maximum(1, np.round(corpus.n_bytes[left] * share)).astype(np.int32),
    )


# `how` of an entry of corpus.derive.
DERIVATIONS: dict[str, Derivation] = {
    "romanise": Derivation("in Latin letters", romanised, latin=True),
    "shuffle_words": Derivation("words in random order", shuffled),
    "permute_characters": Derivation("letters exchanged", permuted),
    "equal_tokens": Derivation("as many tokens in every document", of_tokens=equal_tokens),
    "shared_tokens": Derivation("tokens shared with another language", of_tokens=shared_tokens),
    "unshared_tokens": Derivation("tokens not shared with another language", of_tokens=unshared_tokens),
}


def derive_documents(
    documents: Sequence[Document], language: str, entry: Mapping[str, Any], seed: int
) -> list[Document]:
    """Documents of a pseudo-language, with the ids, splits and units of the language's own.

    Parameters
    ----------
    entry : of ``corpus.derive``. seed : decides what is random.
    """
    of_texts = DERIVATIONS[entry["how"]].of_texts
    assert of_texts is not None, f"{entry['how']} is made of tokens"
    return of_texts(documents, language, seed)


def derive_tokens(
    corpus: TokenizedCorpus, entry: Mapping[str, Any], other: TokenizedCorpus | None
) -> TokenizedCorpus:
    """Tokens of a pseudo-language.

    Parameters
    ----------
    entry : of ``corpus.derive``. other : the language that it names in ``other``.

    Raises
    ------
    BabelscopeError
        Where too little is left.
    """
    of_tokens = DERIVATIONS[entry["how"]].of_tokens
    assert of_tokens is not None, f"{entry['how']} is made of texts"
    return of_tokens(corpus, entry.get("n_tokens", 12), other)

"""Documents that should not be taken: near copies of held-out ones, Chinese in the other script."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# A text is cut into all its runs of so many characters (Broder 1997, "On the resemblance of documents").
SHINGLE = 5
# Share of shingles in common, of those of both texts, from which one text is a near copy of the other.
NEAR_COPY = 0.5
# Simplified characters are all in GB 2312 and traditional ones in Big5; about a third of a text differs.
CODECS = {"Hans": "gb2312", "Hant": "big5"}
SCRIPT_SHARE = 0.9


class NearCopies:
    """Finds texts that resemble one of some given texts.

    Parameters
    ----------
    texts : to compare with, for instance all held-out documents.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._sizes: list[int] = []
        self._holders: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            own = shingles(text)
            self._sizes.append(len(own))
            for shingle in own:
                self._holders.setdefault(shingle, []).append(number)

    def resemblance(self, text: str) -> float:
        """Largest Jaccard index of the text's shingles with those of a given text, in [0, 1]."""
        own = shingles(text)
        common = Counter(number for shingle in own for number in self._holders.get(shingle, ()))
        return max((n / (len(own) + self._sizes[i] - n) for i, n in common.items()), default=0.0)

    def __contains__(self, text: str) -> bool:
        return self.resemblance(text) >= NEAR_COPY


def shingles(text: str) -> frozenset[str]:
    """Runs of ``SHINGLE`` characters of a text as it is read, case aside; a shorter text is one run."""
    text = as_read(text).casefold()
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def as_read(text: str) -> str:
    """The visible part of a text: the same for other spaces, Unicode forms and invisible characters."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(visible.split())


def is_written_in(text: str, script: str) -> bool:
    """Whether a Chinese text is in simplified (``Hans``) or in traditional (``Hant``) characters.

    At least nine in ten of its characters must be in the national standard of that script; a text without a
    Chinese character is in neither.
    """
    han = [character for character in text if "\u4e00" <= character <= "\u9fff"]
    known = sum(len(character.encode(CODECS[script], "ignore")) > 0 for character in han)
    return bool(han) and known >= SCRIPT_SHARE * len(han)

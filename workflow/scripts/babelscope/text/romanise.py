"""Text in Latin letters, by uroman: what is left of a language when its script is taken away.

uroman (Hermjakob, May and Knight 2018, "Out-of-the-box universal romanization tool uroman") reads a word as a
whole: it writes the vowels that Brahmic letters carry and reads Chinese as Pinyin. Unidecode looks at one
character at a time: ``prshnaavlii`` for ``prashnaavalii``, and no vowel of Urdu. ICU's transliterator needs a
C++ library that is not everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any

# uroman has rules for single languages, by ISO 639-3; others are read by their script.
_ISO_639_3 = {
    "am": "amh", "ar": "ara", "be": "bel", "bg": "bul", "bn": "ben", "el": "ell", "fa": "fas", "gu": "guj",
    "he": "heb", "hi": "hin", "ja": "jpn", "ka": "kat", "kn": "kan", "ko": "kor", "ml": "mal", "mr": "mar",
    "ne": "nep", "or": "ori", "pa": "pan", "ru": "rus", "ta": "tam", "te": "tel", "th": "tha", "uk": "ukr",
    "ur": "urd", "zh": "zho",
}  # fmt: skip


@cache
def _uroman() -> Any:
    import uroman  # seconds: it reads its tables

    return uroman.Uroman()


def romanise(text: str, language: str) -> str:
    """The text in Latin letters; digits and punctuation as they are read.

    Parameters
    ----------
    language : its code; where uroman has no rules for it, its script decides.
    """
    return str(_uroman().romanize_string(text, lcode=_ISO_639_3.get(language)))

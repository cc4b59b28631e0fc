"""Automatic measures of the responses of the dense and the pruned model to the same prompts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import regex

from babelscope.files.kind import Kind
from babelscope.files.record import read_lines, write_lines
from babelscope.study.errors import BabelscopeError

RESPONSE_FIELDS = ("id", "prompt", "dense", "pruned")
# Models that are compared with the dense one: plain removal, as in the paper; compensated where it is there.
REDUCED = ("pruned", "compensated")
RESPONSE_MODES = ("greedy", "sampled")
RESPONSES = Kind(
    "responses",
    "responses/{lang}.jsonl",
    "generate_responses",
    ("model", "language"),
    fields={
        "id": "number of the document that was continued",
        "mode": "greedy or sampled",
        "prompt": "start of a held-out document",
        "dense": "continuation by the dense model",
        "pruned": "continuation where the other experts are removed",
        "compensated": "continuation by the pruned model, corrected",
        "model": "name of the model",
        "language": "code of the language",
        "seal": "first digits of the SHA-256 of all lines",
    },
)

# Scripts written without spaces between words: there a unit is a character with its marks.
_UNITS = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]\p{M}*"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}])[\p{L}\p{M}\p{N}])+"
)


def write_responses(
    path: str | Path, responses: Iterable[Mapping[str, Any]], *, model: str, language: str
) -> None:
    """Write ``results/{model}/responses/{lang}.jsonl``, one JSON object per line."""
    write_lines(path, RESPONSES, responses, model=model, language=language)


def read_responses(path: str | Path, *, model: str, language: str) -> list[dict[str, Any]]:
    """Read ``results/{model}/responses/{lang}.jsonl`` of this model and language.

    Raises
    ------
    BabelscopeError
        Where the file is damaged or not the one asked for, or a line is no response (``check_response``).
    """
    rows = read_lines(path, RESPONSES, model=model, language=language)
    return [check_response(row, f"{path}, response {number}") for number, row in enumerate(rows, start=1)]


def check_response(response: Any, where: str) -> dict[str, Any]:
    """Return the response if it has ``id``, ``prompt``, ``dense``, ``pruned``, and a known ``mode`` if any.

    Raises
    ------
    BabelscopeError
        Where a field is missing or of the wrong type; ``where`` opens the message.
    """
    if not isinstance(response, Mapping):
        raise BabelscopeError(f"{where}: a response is an object, not {type(response).__name__}")
    for field in RESPONSE_FIELDS:
        allowed = (str, int) if field == "id" else str
        if not isinstance(response.get(field), allowed):
            raise BabelscopeError(f"{where}: {field!r} is {response.get(field)!r:.80}, need a text")
    mode = response.get("mode", RESPONSE_MODES[0])
    if mode not in RESPONSE_MODES:
        raise BabelscopeError(f"{where}: 'mode' is {mode!r}, allowed are {', '.join(RESPONSE_MODES)}")
    return dict(response)


def chrf(dense: str, pruned: str) -> float:
    """chrF2 of the pruned model's response with the dense model's as reference, in [0, 100].

    The ``sentence_chrf`` of sacrebleu (``nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no``): character n-grams
    of order 1 to 6 without whitespace, orders that one of the texts is too short for left out. Two texts
    without a character are equal here (100), and 0 there. Not symmetric: recall of the dense model's response
    weighs twice as much as precision.

    References
    ----------
    M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.
    """
    if not dense.strip() and not pruned.strip():
        return 100.0
    return float(_load_chrf().sentence_score(pruned, [dense]).score)


def repetition_rate(response: str | Sequence[Hashable], n: int = 4) -> float:
    """Share of n-grams that were there before, ``1 - distinct / all``, in [0, 1); NaN below n units.

    Parameters
    ----------
    response : a text or its token ids. A text is cut into words; in scripts without spaces between words
        (Chinese, Japanese, Thai, ...) into characters. So rates of a text compare models in one language, not
        languages with each other.
    n : length of the n-grams.

    References
    ----------
    "seq-rep-n" of S. Welleck et al., "Neural text generation with unlikelihood training", ICLR 2020.
    """
    units = _UNITS.findall(response) if isinstance(response, str) else list(response)
    ngrams = _ngrams(units, n)
    return 1 - len(ngrams) / ngrams.total() if ngrams else math.nan


@cache
def load_language_identifier() -> Callable[[str], str | None]:
    """Load the n-gram table of eld, once, and return its identifier.

    Returns
    -------
    identify : text -> language code (ISO 639-1), or None where eld finds the text too short (under 12 bytes
        of letters, or 3 distinct n-grams) or not like any of its languages.
    """
    from eld import LanguageDetector

    detector = LanguageDetector()
    return lambda text: detector.detect(text)["language"] or None


def identifiable_languages() -> frozenset[str]:
    """Codes of the languages that eld can name."""
    from eld.languageData import languageData

    return frozenset(languageData.langCodes)


def language_share(
    texts: Sequence[str],
    expected_language: str,
    identify: Callable[[str], str | None] | None = None,
) -> tuple[float, float]:
    """Share of texts that are in the language, and share that cannot be told.

    Parameters
    ----------
    texts : at least one.
    expected_language : code; ``zh-Hans`` is compared as ``zh``.
    identify : text -> code or None; eld if not given.

    Returns
    -------
    share, undetermined : in [0, 1], both of all texts.

    Raises
    ------
    BabelscopeError
        Where there is no text, or eld does not know the language.
    """
    if not texts:
        raise BabelscopeError(f"share of language {expected_language!r}: there is no text")
    code = expected_language.replace("_", "-").split("-")[0].lower()
    if identify is None:
        known = identifiable_languages()
        if code not in known:
            raise BabelscopeError(
                f"language {expected_language!r} is not known to the identifier eld; it knows "
                + ", ".join(sorted(known))
            )
        identify = load_language_identifier()
    found = Counter(identify(text) for text in texts)
    return found[code] / len(texts), found[None] / len(texts)


def summarise_responses(path: str | Path, model: str, language: str, mode: str = "greedy") -> dict[str, Any]:
    """Automatic measures of one responses file and one way of decoding, as one row of a table.

    Parameters
    ----------
    path : ``results/{model}/responses/{lang}.jsonl``; a response without a mode counts as greedy.
    language : code of the prompts' language.
    mode : ``"greedy"`` or ``"sampled"``.

    Returns
    -------
    row : ``language``, ``mode``, ``n_responses``; of plain removal (``pruned``) ``chrf`` with ``chrf_se`` and
        ``identical_share``, of compensation the same with ``_compensated``;
        ``repetition_{dense,pruned,compensated}`` with ``_se``, over the responses of at least four units;
        ``language_share_`` and ``undetermined_share_{prompt,dense,pruned,compensated}``: those of the prompts
        tell how far the identifier can be trusted. ``_se`` is the standard error of the mean over responses.
        None stands where a value is not defined (one response, a language unknown to eld). A file without
        responses of the compensated model has no columns of it.

    Raises
    ------
    BabelscopeError
        Where the file is wrong (``read_responses``) or has no response of the mode.
    """
    responses = [
        r
        for r in read_responses(path, model=model, language=language)
        if r.get("mode", RESPONSE_MODES[0]) == mode
    ]
    if not responses:
        raise BabelscopeError(f"{path}: no response has mode {mode!r}")
    reduced = [which for which in REDUCED if all(which in response for response in responses)]
    texts = {field: [response[field] for response in responses] for field in ("prompt", "dense", *reduced)}
    row: dict[str, Any] = {"language": language, "mode": mode, "n_responses": len(responses)}
    for which in reduced:
        end = "" if which == "pruned" else f"_{which}"
        pairs = list(zip(texts["dense"], texts[which], strict=True))
        row[f"chrf{end}"], row[f"chrf{end}_se"] = _mean_and_error([chrf(*pair) for pair in pairs])
        row[f"identical_share{end}"] = sum(dense == other for dense, other in pairs) / len(pairs)
    for which in ("dense", *reduced):
        rates = [repetition_rate(text) for text in texts[which]]
        row[f"repetition_{which}"], row[f"repetition_{which}_se"] = _mean_and_error(rates)
    known = language.replace("_", "-").split("-")[0].lower() in identifiable_languages()
    for which in texts:
        shares = language_share(texts[which], language) if known else (None, None)
        row[f"language_share_{which}"], row[f"undetermined_share_{which}"] = shares
    return row


@cache
def _load_chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF  # a third of a second, which readers of responses do not pay

    return CHRF()


def _ngrams(units: Sequence[Hashable], n: int) -> Counter[Hashable]:
    return Counter(tuple(units[i : i + n]) for i in range(len(units) - n + 1))


def _mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and its standard error, NaN left out; None where there are too few values."""
    finite = np.asarray([value for value in values if not math.isnan(value)])
    mean = float(finite.mean()) if len(finite) else None
    error = float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else None
    return mean, error

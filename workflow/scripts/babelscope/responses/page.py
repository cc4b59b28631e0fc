"""The human comparison: a page that asks for blind judgements, and the reader of the files it exports.

``resources/templates/annotation.html`` is the page without its data; ``agreement`` summarises the files.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from babelscope.files.whole import read_json, write_text
from babelscope.responses.measures import check_response, read_responses
from babelscope.study.errors import BabelscopeError, require

FORMAT = "babelscope/annotation"
FORMAT_VERSION = 1
JUDGEMENTS = ("left", "comparable", "right")

_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class Item:
    """A prompt with two responses in the order in which they are shown.

    Attributes
    ----------
    id : the response's id, with its mode behind a slash where it has one.
    key : 16 hexadecimal digits; with the id they say which side is the pruned model's (``pruned_is_left``).
    text_sha256 : of prompt, left and right.
    """

    id: str
    key: str
    prompt: str
    left: str
    right: str
    text_sha256: str


@dataclass(frozen=True)
class Annotation:
    """One exported file, checked and with the sides resolved.

    Attributes
    ----------
    outcomes : item id -> 1 where the pruned model's response was judged better, 0 comparable, -1 worse.
    n_items : items of the page, judged or not.
    """

    path: str
    model: str
    language: str
    annotator: str
    items_digest: str
    n_items: int
    outcomes: Mapping[str, int]


def pruned_is_left(item_id: str, key: str) -> bool:
    """Whether the pruned model's response is shown on the left: one bit of a hash of id and key."""
    return hashlib.sha256(f"{item_id}\0{key}".encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0


def make_items(responses: Iterable[Mapping[str, Any]], *, language: str, seed: int) -> list[Item]:
    """Put the two responses to every prompt into an order drawn for that item.

    Parameters
    ----------
    responses : as in ``results/{model}/responses/{lang}.jsonl``.
    language : code; with the seed and the item's id it determines the order.
    seed : another seed, another order.

    Raises
    ------
    BabelscopeError
        Where a response lacks a field, two have the same id and mode, or there is none.
    """
    items: dict[str, Item] = {}
    for number, raw in enumerate(responses, start=1):
        response = check_response(raw, f"response {number} of language {language!r}")
        item_id = f"{response['id']}/{response['mode']}" if "mode" in response else str(response["id"])
        if item_id in items:
            raise BabelscopeError(f"language {language!r}: two responses have the id and mode {item_id!r}")
        seeded = f"{seed}\0{language}\0{item_id}".encode("utf-8", "surrogatepass")
        key = hashlib.sha256(seeded).hexdigest()[:16]
        sides = response["dense"], response["pruned"]
        left, right = reversed(sides) if pruned_is_left(item_id, key) else sides
        prompt = response["prompt"]
        items[item_id] = Item(item_id, key, prompt, left, right, _sha256([prompt, left, right]))
    if not items:
        raise BabelscopeError(f"language {language!r}: no responses to compare")
    return list(items.values())


def compute_items_digest(model: str, language: str, items: Iterable[Item]) -> str:
    """SHA-256 of model, language, and every item's id, key and texts, in their order; 64 hex digits."""
    return _digest(model, language, [(item.id, item.key, item.text_sha256) for item in items])


def page_digests(
    paths: Sequence[str | Path], model: str, languages: Sequence[str], judged: str, seed: int
) -> dict[str, str]:
    """Digest of the page of each language, as it follows from the sealed responses.

    Parameters
    ----------
    paths : ``responses/{lang}.jsonl``, in any order; each must be of one of the languages, by its name.
    judged, seed : as the page was written with.

    Raises
    ------
    BabelscopeError
        As ``read_judged``.
    """
    found = {}
    for path in paths:
        language = Path(path).stem
        require(language in languages, f"{path}: {language!r:.40} is none of {', '.join(languages)}")
        responses = read_judged(path, judged, model=model, language=language)
        items = make_items(responses, language=language, seed=seed)
        found[language] = compute_items_digest(model, language, items)
    return found


def read_judged(path: str | Path, judged: str, *, model: str, language: str) -> list[dict[str, Any]]:
    """Greedy responses of ``responses/{lang}.jsonl``, those of the judged model under ``pruned``.

    Raises
    ------
    BabelscopeError
        As ``read_responses``.
    """
    found = read_responses(path, model=model, language=language)
    return [{**row, "pruned": row[judged]} for row in found if row.get("mode") == "greedy"]


def text_direction(texts: Iterable[str]) -> str:
    """``"rtl"`` or ``"ltr"``, whichever most letters of the texts' script have (Unicode Bidi_Class)."""
    classes = [unicodedata.bidirectional(character) for text in texts for character in text]
    n_right_to_left = sum(bidi in ("R", "AL") for bidi in classes)
    return "rtl" if n_right_to_left > classes.count("L") else "ltr"


def render_annotation_page(
    responses: Iterable[Mapping[str, Any]], *, template: str, model: str, language: str, seed: int
) -> str:
    """Make the page that asks which of two responses is better: one HTML text that needs nothing else.

    A content security policy forbids the page everything but its own script and style (by their hashes), so
    it can neither load nor send anything. Texts stand in it as JSON without ``<`` and are shown as text.

    How strong the blinding is: which side is the pruned model's differs by item and is nowhere written. It
    follows from the embedded key by a hash (``pruned_is_left``), so nobody learns it by looking at the page,
    its source or an exported file; somebody who means to, and runs this library on the file, does. Nothing
    hides what the texts themselves give away.

    Parameters
    ----------
    responses : as in ``results/{model}/responses/{lang}.jsonl``, shown in their order.
    template : the page without its data, with ``@@NAME@@`` where something is filled in.
    model : name of the dense model, goes into the exported file.
    language : code of the texts (BCP 47), the ``lang`` of the texts. Their direction follows from the script
        of the prompts.
    seed : of the order of the sides.

    Raises
    ------
    BabelscopeError
        Where the language is no code, or as for ``make_items``.
    """
    if not _LANGUAGE_TAG.fullmatch(language):
        raise BabelscopeError(f"language {language!r} is no language code; codes look like 'ur' or 'zh-Hans'")
    items = make_items(responses, language=language, seed=seed)
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": model,
        "language": language,
        "direction": text_direction(item.prompt for item in items),
        "items_digest": compute_items_digest(model, language, items),
        "items": [asdict(item) for item in items],
    }
    policy = (
        f"default-src 'none'; script-src '{_inline_hash(template, 'script')}'; "
        f"style-src '{_inline_hash(template, 'style')}'; base-uri 'none'; form-action 'none'"
    )
    values = {
        "POLICY": policy,
        "LANGUAGE": html.escape(language),
        # All but ASCII is escaped too, which takes care of U+2028 and of lone surrogates.
        "DATA": json.dumps(data).replace("<", "\\u003c"),
    }
    return re.sub(r"@@([A-Z]+)@@", lambda match: values[match[1]], template)


def write_annotation_page(path: str | Path, responses: Iterable[Mapping[str, Any]], **about: Any) -> None:
    """Write ``render_annotation_page(responses, **about)`` to a file, whole or not at all."""
    write_text(path, render_annotation_page(responses, **about))


def read_annotation(path: str | Path) -> Annotation:
    """Read a file that the page exported, and resolve its sides.

    Raises
    ------
    BabelscopeError
        Where the file is of another format or version, damaged, altered, judges an item that its page does
        not have, judges one twice, or judges none. The message names the file and the problem.
    """
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise BabelscopeError(f"{path}: format is {found!r}, need {FORMAT!r}: a file exported by the page")
    if content.get("format_version") != FORMAT_VERSION:
        raise BabelscopeError(
            f"{path}: format_version is {content.get('format_version')!r}, "
            f"this Babelscope reads {FORMAT_VERSION}"
        )
    _require_texts(content, ("model", "language", "annotator", "items_digest"), str(path))
    model, language = content["model"], content["language"]
    if not _LANGUAGE_TAG.fullmatch(language):
        raise BabelscopeError(f"{path}: language {language!r:.40} is no language code; export it again")
    items = _objects(content, "items", ("id", "key", "text_sha256"), path)
    keys = {item["id"]: item["key"] for item in items}
    listed = [(item["id"], item["key"], item["text_sha256"]) for item in items]
    if _digest(model, language, listed) != content["items_digest"]:
        raise BabelscopeError(
            f"{path}: items_digest {content['items_digest'][:12]} is not that of its model, "
            "language and items; the file was altered, export it again"
        )
    outcomes: dict[str, int] = {}
    for judged in _objects(content, "judgements", ("id", "judgement"), path):
        item_id, judgement = judged["id"], judged["judgement"]
        if item_id not in keys:
            raise BabelscopeError(f"{path}: judges the unknown item {item_id!r}, its page has no such item")
        if judgement not in JUDGEMENTS:
            raise BabelscopeError(
                f"{path}: judgement of item {item_id!r} is {judgement!r}, allowed are {', '.join(JUDGEMENTS)}"
            )
        towards_right = JUDGEMENTS.index(judgement) - 1
        outcomes[item_id] = -towards_right if pruned_is_left(item_id, keys[item_id]) else towards_right
    if not outcomes:
        raise BabelscopeError(f"{path}: no item is judged")
    annotator = " ".join(unicodedata.normalize("NFC", content["annotator"]).split())
    return Annotation(str(path), model, language, annotator, content["items_digest"], len(keys), outcomes)


def _objects(
    content: Mapping[str, Any], name: str, fields: Sequence[str], path: str | Path
) -> list[Mapping[str, str]]:
    """The list under a name, each an object with texts in the fields and an id of its own."""
    objects = content.get(name)
    if not isinstance(objects, list):
        raise BabelscopeError(f"{path}: {name!r} is {type(objects).__name__}, need a list")
    seen = set()
    for number, entry in enumerate(objects, start=1):
        if not isinstance(entry, dict):
            raise BabelscopeError(f"{path}: entry {number} of {name!r} is no object")
        _require_texts(entry, fields, f"{path}: entry {number} of {name!r}")
        if entry["id"] in seen:
            raise BabelscopeError(f"{path}: {name!r} has item {entry['id']!r} twice")
        seen.add(entry["id"])
    return objects


def _require_texts(content: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    for field in fields:
        value = content.get(field)
        if not isinstance(value, str) or not value.strip():
            raise BabelscopeError(f"{where}: {field!r} is {value!r}, need a text")


def _inline_hash(template: str, element: str) -> str:
    """CSP source of the one inline element of that name."""
    found = re.search(rf"<{element}>(.*?)</{element}>", template, re.DOTALL)
    if found is None:
        raise RuntimeError(f"the template has no inline <{element}>")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


def _digest(model: str, language: str, items: Sequence[tuple[str, str, str]]) -> str:
    return _sha256([model, language, items])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()

"""Whatever comes in: a right result, or one clear error. Anything else is a defect."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import ROOT, annotation_export

from babelscope.comparison.frequency import read_frequency, write_frequency
from babelscope.model.folder import read_header
from babelscope.responses.page import make_items, read_annotation
from babelscope.study import configuration
from babelscope.study.configuration import check_config
from babelscope.study.errors import BabelscopeError
from babelscope.study.languages import read_languages
from babelscope.text.documents import Document, read_documents, sample_documents, write_documents

SCHEMA = ROOT / "config" / "config.schema.yaml"
CODES = list(read_languages(ROOT / "resources" / "languages.tsv"))
CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from([10**30, ""])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def or_one_line(action: Callable[[], Any]) -> Any:
    """The result; None where the action ends in one clear error."""
    try:
        return action()
    except BabelscopeError as error:
        assert str(error).strip()
        assert len(str(error)) < 2000
        return None


def places(value: Any, where: tuple = ()) -> list[tuple]:
    """Paths of all entries of nested mappings and lists."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path for key, child in children for path in [(*where, key), *places(child, (*where, key))]]


def replaced(value: Any, where: tuple, new: Any) -> Any:
    value = deepcopy(value)
    target = value
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = new
    return value


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """The schema is read once, not for each example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configuration, "read_yaml", cache(configuration.read_yaml))
        yield


@given(st.sampled_from(places(CONFIG)), values)
def test_any_value_anywhere_in_the_configuration(where, value):
    def check() -> bool:
        check_config(replaced(CONFIG, where, value), SCHEMA, CODES)
        return True

    if or_one_line(check) and isinstance(value, float):
        assert np.isfinite(value), f"{where} may not be {value}"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Files of three containers, each with its reader and its bytes."""
    folder = tmp_path_factory.mktemp("sealed")
    write_frequency(folder / "frequency.h5", np.full((2, 3, 4), 0.5), ["en", "fr"], "tiny")
    documents = [Document(f"a:{i}", f"text {i}", "heldout" if i < 2 else "profile") for i in range(6)]
    write_documents(folder / "en.jsonl", documents, "en")
    readers = {
        "frequency.h5": lambda path: read_frequency(path, "tiny")[0].tolist(),
        "en.jsonl": lambda path: read_documents(path, "en"),
    }
    return [(folder / name, read, (folder / name).read_bytes()) for name, read in readers.items()]


@given(st.data())
def test_bytes_of_a_result_changed_in_any_way(sealed, data):
    path, read, content = data.draw(st.sampled_from(sealed))
    at = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(at, min(len(content), at + 64)))
    changed = content[:at] + data.draw(st.binary(max_size=64)) + content[end:]
    changed = changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed
    path.write_bytes(content)
    expected = read(path)
    path.write_bytes(changed)
    found = or_one_line(lambda: read(path))
    path.write_bytes(content)
    assert found is None or found == expected, "a changed file was read as another result"


tensors = st.dictionaries(
    st.text(max_size=6),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "BF16", "Q9", ""]) | values,
            "shape": st.lists(st.integers(-2, 2**70), max_size=3) | values,
            "data_offsets": st.lists(st.integers(-8, 2**70), max_size=3) | values,
        }
    )
    | values,
    max_size=3,
)


@given(tensors, st.binary(max_size=64), st.integers(0, 2**64 - 1) | st.none())
def test_any_header_of_a_checkpoint(tmp_path_factory, header, rest, length):
    file = tmp_path_factory.getbasetemp() / "hostile.safetensors"
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + rest)
    found = or_one_line(lambda: read_header(file))
    if found is not None:
        assert found[1] <= file.stat().st_size


def an_export() -> dict[str, Any]:
    """What a page exports when both of its items are judged."""
    rows = [{"id": str(i), "prompt": "p", "dense": f"d{i}", "pruned": f"q{i}"} for i in range(2)]
    return annotation_export(make_items(rows, language="en", seed=0))


@given(st.sampled_from(places(an_export())), values)
def test_any_value_anywhere_in_an_annotation(tmp_path_factory, where, value):
    file = tmp_path_factory.getbasetemp() / "export.json"
    file.write_text(json.dumps(replaced(an_export(), where, value)), encoding="utf-8")
    found = or_one_line(lambda: read_annotation(file))
    if found is not None and where[0] not in ("annotator", "judgements"):
        file.write_text(json.dumps(an_export()), encoding="utf-8")
        assert found == read_annotation(file)


@settings(max_examples=max(20, settings.default.max_examples // 10))
@given(st.sampled_from([".txt", ".jsonl", ".csv", ".tsv", ".json", ".txt.gz"]), st.data())
def test_any_bytes_as_text(tmp_path_factory, ending, data):
    lines = st.lists(st.text(max_size=20).map(lambda text: json.dumps({"text": text})), max_size=8)
    content = data.draw(st.binary(max_size=200) | lines.map(lambda rows: "\n".join(rows).encode()))
    file = tmp_path_factory.mktemp("text") / f"en{ending}"
    file.write_bytes(content)
    settings_ = {"profile_documents": 2, "heldout_documents": 1, "allow_fewer": True, "seed": 0}
    found = or_one_line(
        lambda: sample_documents(
            "en", {"files": str(file)}, min_characters=1, max_characters=100, **settings_
        )
    )
    if found is not None:
        assert len({document.text for document in found}) == len(found)


@pytest.mark.parametrize("language", ["=cmd|' /C calc'!A0", "@SUM(1)", "\x1b[2Jen", "-1"])
def test_a_language_that_a_spreadsheet_or_terminal_would_run_is_refused(tmp_path, language):
    items = make_items([{"id": "0", "prompt": "p", "dense": "d", "pruned": "q"}], language="en", seed=0)
    forged = annotation_export(items, language=language)
    (tmp_path / "export.json").write_text(json.dumps(forged), encoding="utf-8")
    with pytest.raises(BabelscopeError, match="is no language code"):
        read_annotation(tmp_path / "export.json")

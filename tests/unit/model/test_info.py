"""model.json: read off the weights, checked against the configuration."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict

import pytest
from tests.tiny import D_MODEL, FAMILY_CONFIGS, save_model
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from babelscope.files.record import write_record
from babelscope.model.families import FAMILIES
from babelscope.model.info import MODEL, describe_model, read_model_info, write_model_info
from babelscope.model.weights_digest import check_depth, weights_digest
from babelscope.study.errors import BabelscopeError

ACTIVATIONS = {
    "llama": "silu",
    "gemma3_text": "gelu_pytorch_tanh",
    "phi3": "silu",
    "bloom": "(fixed: gelu_pytorch_tanh)",
    "gpt_neox": "gelu",
    "opt": "relu",
    "xglm": "gelu",
}


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "model")


def edit(file, **changes):
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes), encoding="utf-8")


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_sizes_are_read_off_the_weights(tmp_path, family):
    info = describe_model("tiny", save_model(tmp_path, family), n_layers=3, origin="path here")
    assert (info.family, info.n_layers, info.d_model) == (family, 3, D_MODEL)
    assert info.d_ff == (64 if family == "bloom" else 24)
    assert info.gated == FAMILIES[family].gated
    assert info.bos_token_id == 1
    assert ACTIVATIONS.get(family, info.activation) == info.activation


def test_a_tokenizer_without_bos_has_none_whatever_the_model_says(folder):
    edit(folder / "tokenizer_config.json", bos_token=None)
    assert describe_model("tiny", folder, n_layers=3, origin="").bos_token_id == -1


def prefix_after(folder, template=None, document_prefix=None, **settings):
    """Id of the prefix token, with these tokenizer settings and this template of tokenizer.json."""
    edit(folder / "tokenizer_config.json", **settings)
    if template:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        special = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>") if token in template]
        tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
        tokenizer.save(str(folder / "tokenizer.json"))
    about = {"n_layers": 3, "origin": "", "document_prefix": document_prefix}
    return describe_model("tiny", folder, **about).bos_token_id


@pytest.mark.parametrize(
    ("template", "settings", "expected"),
    [
        # GPT-NeoX, BLOOM: a BOS token exists, the tokenizer does not put it anywhere
        (None, {"add_bos_token": None}, -1),
        # Phi-3, SmolLM2: a BOS token exists and the settings say that it is left out
        ("<s> $A", {"add_bos_token": False}, -1),
        # Llama, Gemma
        ("<s> $A", {"add_bos_token": None}, 1),
        (None, {"add_bos_token": True}, 1),
        # XGLM, OPT: documents begin with the end token
        ("</s> $A", {"add_bos_token": None}, 2),
        # an end token behind the text is no prefix
        ("$A </s>", {"add_bos_token": None}, -1),
    ],
)
def test_what_stands_before_a_document_is_what_the_tokenizer_puts_there(folder, template, settings, expected):
    edit(folder / "config.json", bos_token_id=3)
    assert prefix_after(folder, template, **settings) == expected


def test_a_prefix_that_the_user_names_goes_before_what_the_tokenizer_does(folder):
    assert prefix_after(folder, document_prefix="</s>") == 2
    assert prefix_after(folder, document_prefix="") == -1
    with pytest.raises(BabelscopeError, match="document_prefix '<start>' is no token of the tokenizer in"):
        prefix_after(folder, document_prefix="<start>")


def test_what_was_written_is_read(folder, tmp_path):
    info = describe_model("tiny", folder, n_layers=3, origin="hub a/b", revision="0" * 40)
    write_model_info(tmp_path / "model.json", info)
    assert read_model_info(tmp_path / "model.json") == info
    content = json.loads((tmp_path / "model.json").read_text())
    contract = {"path", "revision", "sha256", "family", "n_layers", "d_model", "d_ff", "activation", "gated"}
    assert contract <= set(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ('{"format": "babelscope/model", "form', "cannot be read as JSON"),
        ("[]", "no JSON object; delete"),
        ("{}", "format is None"),
        (
            '{"format": "babelscope/model", "format_version": 9}',
            "version 9; need .*, version 2",
        ),
        ('{"format": "babelscope/model", "format_version": 2}', "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(BabelscopeError, match=message) as caught:
        read_model_info(tmp_path / "model.json")
    assert "model.json" in str(caught.value)


def test_weights_that_are_gone_are_named(folder, tmp_path):
    info = describe_model("tiny", folder, n_layers=3, origin="")
    write_model_info(tmp_path / "model.json", info)
    shutil.rmtree(folder)
    with pytest.raises(BabelscopeError, match=f"the weights are no longer in {folder}; delete"):
        read_model_info(tmp_path / "model.json")


def forge(file, info, **changes):
    """model.json with other entries, sealed."""
    content = {name: value for name, value in asdict(info).items() if name != "trust_remote_code"} | changes
    write_record(file, MODEL, content, name=content["name"])


@pytest.mark.parametrize(
    ("name", "value"), [("n_layers", "3"), ("n_layers", True), ("path", None), ("d_ff", 24.0)]
)
def test_a_value_of_another_type_is_refused_by_name(folder, tmp_path, name, value):
    forge(tmp_path / "model.json", describe_model("tiny", folder, n_layers=3, origin=""), **{name: value})
    with pytest.raises(BabelscopeError, match=rf"model\.json: {name} is .*, need (int|str|bool); delete"):
        read_model_info(tmp_path / "model.json")


def test_foreign_code_is_allowed_by_the_configuration_alone(folder, tmp_path):
    info = describe_model("tiny", folder, n_layers=3, origin=f"path {folder}", trust_remote_code=True)
    file = tmp_path / "tiny" / "model.json"
    write_model_info(file, info)
    definition = {"source": {"path": str(folder)}, "n_layers": 3}
    assert not read_model_info(file).trust_remote_code
    assert not read_model_info(file, {"tiny": definition}).trust_remote_code
    assert read_model_info(file, {"tiny": definition | {"trust_remote_code": True}}).trust_remote_code
    forge(file, info, trust_remote_code=True)
    with pytest.raises(BabelscopeError, match="trust_remote_code is for the configuration alone"):
        read_model_info(file, {"tiny": definition})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "is about model 'other'"),
        ({"path": "elsewhere"}, "in elsewhere, the configuration has 'path "),
        ({"origin": "hub a/b"}, "made from 'hub a/b'"),
        ({"n_layers": 4}, "has 4 layers, the configuration 3"),
    ],
)
def test_a_model_that_is_not_the_configurations_is_refused_with_both(folder, tmp_path, changes, message):
    file = tmp_path / "tiny" / "model.json"
    forge(file, describe_model("tiny", folder, n_layers=3, origin=f"path {folder}"), **changes)
    with pytest.raises(BabelscopeError, match=message):
        read_model_info(file, {"tiny": {"source": {"path": str(folder)}, "n_layers": 3}})


def test_weights_that_were_replaced_are_refused_and_a_copy_is_not(folder, tmp_path):
    write_model_info(tmp_path / "model.json", describe_model("tiny", folder, n_layers=3, origin=""))
    weights = folder / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    read_model_info(tmp_path / "model.json")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BabelscopeError, match="are not those it is about"):
        read_model_info(tmp_path / "model.json")


def test_a_digest_is_kept_until_size_or_time_change(folder, tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"
    first = weights_digest(folder, notes)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert weights_digest(folder, notes) == first
    assert describe_model("tiny", folder, notes=notes).weights_sha256 == first
    monkeypatch.undo()
    notes.write_text("{")
    assert weights_digest(folder, notes) == first
    (folder / "tokenizer_config.json").write_text("{}")
    assert weights_digest(folder, notes) != first


def test_a_wrong_depth_is_refused_before_a_job_removes_anything(folder, tmp_path):
    with pytest.raises(BabelscopeError, match=r"n_layers is 7, .*config\.json has 3 layers"):
        check_depth("tiny", {"source": {"path": str(folder)}, "n_layers": 7}, tmp_path / "model.json")
    source = {"hub": "a/b", "revision": "0" * 40}
    info = describe_model("tiny", folder, n_layers=3, origin="hub a/b", revision="0" * 40)
    check_depth("tiny", {"source": source, "n_layers": 7}, tmp_path / "model.json")
    write_model_info(tmp_path / "model.json", info)
    with pytest.raises(BabelscopeError, match=r"n_layers is 7, .*model\.json has 3 layers"):
        check_depth("tiny", {"source": source, "n_layers": 7}, tmp_path / "model.json")
    check_depth("tiny", {"source": source | {"revision": "1" * 40}, "n_layers": 7}, tmp_path / "model.json")

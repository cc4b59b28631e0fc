"""model.json: read off the weights, checked against the configuration."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.tiny import D_MODEL, FAMILY_CONFIGS, save_model

from babelscope.model.families import FAMILIES
from babelscope.model.info import describe_model, read_model_info, write_model_info
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


def test_a_model_without_bos_has_none(folder):
    edit(folder / "config.json", bos_token_id=None)
    assert describe_model("tiny", folder, n_layers=3, origin="").bos_token_id == -1


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
        ("{}", "not a babelscope/model file of version 1"),
        ('{"format": "babelscope/model", "format_version": 2}', "not a babelscope/model file of version 1"),
        ('{"format": "babelscope/model", "format_version": 1}', "missing .* arguments.*; delete"),
        (
            '{"format": "babelscope/model", "format_version": 1, "more": 1}',
            "unexpected keyword argument 'more'",
        ),
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

"""A model folder that is not whole is refused before anything is computed with it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny import FAMILY_CONFIGS, save_model

from babelscope.model.checkpoint import check_checkpoint
from babelscope.model.prepare import prepare_model
from babelscope.study.errors import BabelscopeError


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "model")


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **changes):
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(content | changes), encoding="utf-8")


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_a_whole_model_of_every_family_passes(tmp_path, family):
    check_checkpoint("tiny", save_model(tmp_path, family))


def test_missing_attention_weights_are_named(folder):
    name = "model.layers.1.self_attn.k_proj.weight"
    change_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(BabelscopeError, match=rf"not a whole model: it lacks {name}\."):
        check_checkpoint("tiny", folder)


def test_a_tensor_of_another_model_is_named(folder):
    change_weights(folder, lambda weights: weights.update({"model.layers.0.extra.weight": torch.zeros(2)}))
    with pytest.raises(BabelscopeError, match=r"has unexpected model\.layers\.0\.extra\.weight"):
        check_checkpoint("tiny", folder)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(folder):
    name = "model.norm.weight"
    change_weights(folder, lambda weights: weights.update({name: weights[name][:-1].clone()}))
    with pytest.raises(BabelscopeError, match=r"model\.norm\.weight \(15,\) instead of \(16,\)"):
        check_checkpoint("tiny", folder)


@pytest.mark.parametrize(("n_layers", "verb"), [(5, "lacks"), (2, "has unexpected")])
def test_another_number_of_layers_than_the_config_says_is_refused(folder, n_layers, verb):
    change_config(folder, num_hidden_layers=n_layers)
    with pytest.raises(BabelscopeError, match=rf"it {verb} model\.layers\.\*\..* in all\)"):
        check_checkpoint("tiny", folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_cut_file_is_refused(folder, share):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        BabelscopeError, match=r"model\.safetensors: (no readable safetensors header|.*not whole)"
    ):
        check_checkpoint("tiny", folder)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"null",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}',
        b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}',
        b"[" * 200_000,
    ],
)
def test_a_hostile_header_is_refused(folder, header):
    file = folder / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 12)
    with pytest.raises(BabelscopeError, match=r"model\.safetensors: "):
        check_checkpoint("tiny", folder)


@pytest.mark.parametrize("content", ["[]", "null", '{"model_type": 3}', '{"hidden_size": 4}', "[" * 100_000])
def test_a_config_that_is_no_model_s_is_refused(folder, content):
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(BabelscopeError, match=r"config\.json: "):
        check_checkpoint("tiny", folder)


def test_a_config_with_a_wrong_type_is_refused_in_one_line(folder):
    change_config(folder, hidden_size="sixteen")
    with pytest.raises(BabelscopeError, match="cannot build this model") as caught:
        check_checkpoint("tiny", folder)
    assert "\n" not in str(caught.value)


def test_the_tokenizer_of_a_larger_model_is_refused(folder):
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["vocab"]["beyond"] = 5000
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BabelscopeError, match=r"highest id is 5000, the model has \d+ embeddings"):
        check_checkpoint("tiny", folder)


def test_preparing_a_folder_checks_it(folder, tmp_path):
    change_weights(folder, lambda weights: weights.pop("model.norm.weight"))
    definition = {"source": {"path": str(folder)}, "n_layers": 3}
    with pytest.raises(BabelscopeError, match=r"lacks model\.norm\.weight"):
        prepare_model("tiny", definition, tmp_path / "weights")

"""Weights read straight from safetensors, without torch or transformers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.tiny import FAMILY_CONFIGS, N_TOKENS, make_model, save_model

from babelscope.model.families import FAMILIES
from babelscope.model.layers import find_ffn_layers
from babelscope.model.weights import (
    count_layers,
    ffn_shape,
    read_blocks,
    read_down_blocks,
    read_index,
    read_rows,
    read_tensor,
)
from babelscope.study.errors import BabelscopeError


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_rows_are_those_of_the_loaded_model(tmp_path, family):
    layers = find_ffn_layers(make_model(family, vocab_size=N_TOKENS))
    folder = save_model(tmp_path, family)
    row = FAMILIES[family]
    for number, layer in enumerate(layers):
        up, gate = layer.up.weight, None if layer.gate is None else layer.gate.weight
        if layer.fused_gate:
            gate, up = layer.up.weight.chunk(2)
        np.testing.assert_array_equal(read_rows(folder, family, number, "up"), up)
        np.testing.assert_array_equal(read_rows(folder, family, number, "down"), layer.down.weight.T)
        if row.gated:
            np.testing.assert_array_equal(read_rows(folder, family, number, "gate"), gate)
            both = torch.cat([up, gate], dim=1)
            np.testing.assert_array_equal(read_rows(folder, family, number, "both"), both)
    index = read_index(folder)
    assert count_layers(index, row) == len(layers)
    assert ffn_shape(index, row) == (layers[0].down.weight.shape[0], layers[0].d_ff)


def test_a_gate_that_is_not_there_is_an_error(tmp_path):
    folder = save_model(tmp_path, "opt")
    for matrix in ("gate", "both"):
        with pytest.raises(BabelscopeError, match="family opt has no gate; use up or down"):
            read_rows(folder, "opt", 0, matrix)
    with pytest.raises(BabelscopeError, match="'sideways': allowed are up, gate, down, both"):
        read_rows(folder, "opt", 0, "sideways")


def test_a_layer_that_is_not_there_names_what_is(tmp_path):
    with pytest.raises(BabelscopeError, match=r"no single tensor for model\.layers\.9\.mlp\.up_proj\.weight"):
        read_rows(save_model(tmp_path), "llama", 9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_type_comes_as_float32(tmp_path, dtype):
    values = torch.tensor([[1.5, -2.0, 0.0], [65504.0, 1e-3, -1e-7]]).to(dtype)
    save_file({"w": values}, tmp_path / "a.safetensors")
    found = read_tensor(read_index(tmp_path)["w"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float())


def test_weights_of_integers_are_refused(tmp_path):
    save_file({"w": torch.ones(2, 2, dtype=torch.int8)}, tmp_path / "a.safetensors")
    with pytest.raises(BabelscopeError, match=r"weights of type I8, need one of \['BF16', 'F16'"):
        read_tensor(read_index(tmp_path)["w"])


def test_tensors_of_several_files_are_one_model(tmp_path):
    whole = save_model(tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    from safetensors.torch import load_file

    tensors = load_file(whole / "model.safetensors")
    for part in range(2):
        chosen = {name: tensor for i, (name, tensor) in enumerate(tensors.items()) if i % 2 == part}
        save_file(chosen, tmp_path / "parts" / f"model-{part}.safetensors")
    for layer in range(3):
        expected = read_rows(whole, "llama", layer)
        np.testing.assert_array_equal(read_rows(tmp_path / "parts", "llama", layer), expected)


def test_a_checkpoint_without_the_leading_name_is_read_too(tmp_path):
    """BLOOM on the hub names its layers h.0, transformers writes transformer.h.0."""
    from safetensors.torch import load_file

    folder = save_model(tmp_path, "bloom")
    expected = read_rows(folder, "bloom", 1)
    tensors = load_file(folder / "model.safetensors")
    assert any(name.startswith("transformer.") for name in tensors)
    short = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(short, folder / "model.safetensors")
    np.testing.assert_array_equal(read_rows(folder, "bloom", 1), expected)
    assert count_layers(read_index(folder), FAMILIES["bloom"]) == 3


def test_a_folder_without_safetensors_says_what_to_do(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BabelscopeError, match=r"no \*\.safetensors file.*allow_pickle: true"):
        read_index(tmp_path)


@pytest.mark.parametrize("damage", ["header", "half", "empty", "text"])
def test_a_damaged_file_is_named(tmp_path, damage):
    folder = save_model(tmp_path / "model")
    file = folder / "model.safetensors"
    content = file.read_bytes()
    broken = {
        "header": content[:4] + b"\xff\xff\xff\x7f" + content[8:],
        "half": content[: len(content) // 4],
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    }
    file.write_bytes(broken[damage])
    with pytest.raises(BabelscopeError, match=r"model\.safetensors: "):
        for layer in range(3):
            read_rows(folder, "llama", layer)
    shutil.rmtree(folder)


def test_an_index_names_where_each_tensor_lies(tmp_path):
    save_file({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "a.safetensors")
    (entry,) = read_index(tmp_path).values()
    assert entry.shape == (2, 3)
    assert entry.end - entry.start == 24
    content = (tmp_path / "a.safetensors").read_bytes()[entry.start : entry.end]
    assert np.frombuffer(content, "<f4").tolist() == list(range(6))
    assert json.loads((tmp_path / "a.safetensors").read_bytes()[8 : entry.start])


@pytest.mark.parametrize("n_rows", [1, 3, 4, 64])
def test_blocks_of_rows_are_the_tensor_and_no_byte_of_its_neighbours(tmp_path, n_rows):
    tensors = {name: torch.randn(7, 5, dtype=torch.float32).to(torch.bfloat16) for name in "abc"}
    save_file(tensors, tmp_path / "a.safetensors")
    blocks = list(read_blocks(read_index(tmp_path)["b"], n_rows))
    assert [len(block) for block in blocks[:-1]] == [n_rows] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), tensors["b"].float())


def test_blocks_of_the_down_projection_are_its_rows_as_stored(tmp_path):
    folder = save_model(tmp_path, "phi3")
    found = np.concatenate(list(read_down_blocks(folder, "phi3", 1)))
    np.testing.assert_array_equal(found, read_rows(folder, "phi3", 1, "down").T)

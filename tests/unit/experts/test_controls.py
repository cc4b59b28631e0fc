"""All layers of a model cut in one call, one after the other and side by side."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from babelscope.experts.clustering import CUTS, cluster_neurons
from babelscope.experts.controls import _most_at_once, cut_experts
from babelscope.study.errors import BabelscopeError


def normal_rows(n_neurons: int, n_dims: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_neurons, n_dims)).astype(np.float32)


def tiny_model(folder):
    """A folder with two layers of 20 neurons."""
    rows = [normal_rows(20, 4, seed) for seed in range(2)]
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(2)]
    save_file(dict(zip(names, rows, strict=True)), folder / "model.safetensors")
    return SimpleNamespace(name="tiny", path=str(folder), family="llama", n_layers=2, d_ff=20, d_model=4)


def test_an_error_names_the_layer(tmp_path):
    rows = normal_rows(20, 4)
    rows[3, 1] = np.nan
    save_file({"model.layers.0.mlp.up_proj.weight": rows}, tmp_path / "model.safetensors")
    info = SimpleNamespace(name="tiny", path=str(tmp_path), family="llama", n_layers=1, d_ff=6, d_model=4)
    with pytest.raises(BabelscopeError, match="tiny, layer 0, up: row 3, column 1 is nan"):
        cut_experts(info, 4, "random", seed=0, n_threads=1)


def test_control_partitions_are_those_of_the_method(tmp_path):
    info, rows = tiny_model(tmp_path), [normal_rows(20, 4, seed) for seed in range(2)]
    partition = cut_experts(info, 5, "malinen_franti", seed=3, n_threads=1, normalize_rows=True)
    for found, layer in zip(partition.labels, rows, strict=True):
        expected = cluster_neurons(layer, 5, "malinen_franti", seed=3, normalize_rows=True).labels
        np.testing.assert_array_equal(found, expected)


def test_layers_side_by_side_are_those_of_one_after_the_other(tmp_path):
    info = tiny_model(tmp_path)
    alone, together = (cut_experts(info, 5, seed=3, n_threads=n).labels for n in (1, 2))
    assert np.array_equal(alone, together)


def test_an_error_of_a_layer_side_by_side_says_what_it_says_alone(tmp_path):
    info = tiny_model(tmp_path)
    with pytest.raises(BabelscopeError, match=r"tiny, layer [01], up: n_experts 21"):
        cut_experts(info, 21, n_threads=2)
    with pytest.raises(BabelscopeError, match="n_threads -1"):
        cut_experts(info, 5, n_threads=-1)


def test_a_way_to_cut_that_was_added_here_is_known_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setitem(CUTS, "mine", CUTS["contiguous"])
    found = cut_experts(tiny_model(tmp_path), 5, "mine", n_threads=2)
    assert np.array_equal(found.labels, np.tile(np.arange(20) // 4, (2, 1)))


def test_a_layer_that_takes_much_memory_is_cut_alone(tmp_path):
    info = tiny_model(tmp_path)
    shapes = {"7b": (11008, 4096), "70b": (28672, 8192), "gemma": (2048, 640)}
    most = {name: _most_at_once(SimpleNamespace(d_ff=f, d_model=d)) for name, (f, d) in shapes.items()}
    assert most["70b"] == 1 and most["7b"] == 6 and most["gemma"] > 200
    assert _most_at_once(info) > 1000


def test_a_killed_process_is_no_defect(tmp_path, monkeypatch):
    monkeypatch.setitem(
        CUTS, "mine", replace(CUTS["random"], solve=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    )
    with pytest.raises(BabelscopeError, match="tiny: a process that cuts a layer was killed"):
        cut_experts(tiny_model(tmp_path), 5, "mine", n_threads=2)

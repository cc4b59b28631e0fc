"""What is kept about the clustering of each layer, and its figure."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.experts.clustering import cluster_neurons, reference_sse
from babelscope.experts.figures import plot_clustering
from babelscope.experts.layer_file import (
    LAYER_EXPERTS,
    LayerSse,
    assemble_layers,
    read_layer_sse,
    write_layer_experts,
)
from babelscope.figures.style import Look, save_figure
from babelscope.files.hdf5 import read_h5
from babelscope.model.info import ModelInfo
from babelscope.study.errors import BabelscopeError


def write_layers(folder, seeds=(5, 5), model="tiny"):
    paths, results = [], []
    for layer, seed in enumerate(seeds):
        rows = np.random.default_rng(layer).standard_normal((23, 4)).astype(np.float32)
        result = cluster_neurons(rows, 6, seed=seed, n_starts=2)
        reference = reference_sse(rows, result.labels, 6, seed=seed)
        paths.append(str(folder / f"layer_{layer:02d}.h5"))
        write_layer_experts(paths[-1], result, reference, model, layer, "up")
        results.append((result, reference))
    return paths, results


def tiny_info() -> ModelInfo:
    names = dict.fromkeys(ModelInfo.__dataclass_fields__, "")
    return ModelInfo(**(names | {"name": "tiny", "n_layers": 2, "d_ff": 23}))


def test_a_layer_file_tells_how_it_was_made(tmp_path):
    paths, results = write_layers(tmp_path)
    datasets, attrs = read_h5(paths[1], LAYER_EXPERTS, model="tiny", layer=1)
    result, reference = results[1]
    np.testing.assert_array_equal(datasets["labels"], result.labels)
    assert datasets["sse"] == result.sse
    assert (datasets["sse_random"], datasets["sse_unconstrained"]) == (
        reference.random,
        reference.unconstrained,
    )
    expected = {
        "method": "balanced_kmeans",
        "seed": 5,
        "n_starts": 2,
        "normalize_rows": False,
        "device": "cpu",
    }
    expected |= {"n_steps": result.n_steps, "n_swaps": result.n_swaps, "n_moves": result.n_moves}
    expected |= {"n_experts": 6, "matrix": "up", "seconds": result.seconds}
    assert attrs.items() >= expected.items()
    assert result.n_steps > 0 and result.n_swaps > 0 and result.n_moves > 0 and result.seconds > 0


def test_layers_are_joined_in_order(tmp_path):
    paths, results = write_layers(tmp_path)
    partition, shared = assemble_layers(paths, tiny_info())
    np.testing.assert_array_equal(partition.labels, [result.labels for result, _ in results])
    assert shared["seed"] == 5
    with pytest.raises(BabelscopeError, match=r"layer_01\.h5: made with layer = 1, this run has 0"):
        assemble_layers(paths[::-1], tiny_info())


def test_layers_made_in_different_ways_are_not_joined(tmp_path):
    paths, _ = write_layers(tmp_path, seeds=(5, 6))
    with pytest.raises(BabelscopeError, match=r"layer_01\.h5: made with .*'seed': 6.* with .*'seed': 5"):
        assemble_layers(paths, tiny_info())


def test_the_figure_shows_percent_below_random(tmp_path):
    layers = LayerSse(
        "balanced_kmeans", np.array([90.0, 60.0]), np.array([100.0, 80.0]), np.array([85.0, 56.0])
    )
    figure = plot_clustering(layers, "tiny")
    free, equal, random = figure.axes[0].get_lines()
    np.testing.assert_allclose(equal.get_ydata(), [10, 25])
    np.testing.assert_allclose(free.get_ydata(), [15, 30])
    np.testing.assert_allclose(random.get_ydata(), [0, 0])
    save_figure(figure, [tmp_path / "clustering.png", tmp_path / "clustering.svg"], Look(dpi=50))
    assert (tmp_path / "clustering.png").stat().st_size > 0
    assert "SSE below random experts" in (tmp_path / "clustering.svg").read_text()


def test_sse_of_all_layers_is_read_in_order(tmp_path):
    paths, results = write_layers(tmp_path)
    layers = read_layer_sse(paths, "tiny")
    assert layers.method == "balanced_kmeans"
    np.testing.assert_array_equal(layers.sse, [result.sse for result, _ in results])
    np.testing.assert_array_equal(layers.sse_random, [reference.random for _, reference in results])
    np.testing.assert_array_equal(
        layers.sse_unconstrained, [reference.unconstrained for _, reference in results]
    )

"""All layers of a model cut in one call: control partitions, and experts without a workflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed

from babelscope.experts.clustering import cluster_neurons
from babelscope.experts.clustering.backend import n_available_cpus, resolve_device
from babelscope.experts.partition import ExpertPartition
from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_rows
from babelscope.study.errors import naming
from babelscope.study.progress import progress


def cut_experts(
    info: ModelInfo,
    n_experts: int = 256,
    method: str = "balanced_kmeans",
    matrix: str = "up",
    seed: int = 0,
    n_threads: int | None = None,
    normalize_rows: bool = False,
    device: str = "cpu",
) -> ExpertPartition:
    """Cut every feed-forward layer of a model into experts.

    Parameters
    ----------
    info : a prepared model; its weights are read layer by layer.
    n_experts : of each layer.
    method : a row of ``babelscope.experts.clustering.CUTS``, for instance ``random`` or ``contiguous``.
    matrix : rows that are clustered, see ``read_rows``.
    seed, n_threads, normalize_rows, device : as in ``cluster_neurons``. On the CPU so many processes have a
        layer each: a clustering keeps one thread busy, and several threads hardly more.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``; the message names model and layer.
    """
    device = resolve_device(device)
    n_threads = n_available_cpus() if n_threads is None else n_threads
    n_at_once = max(1, min(n_threads, info.n_layers)) if device == "cpu" else 1
    asked = {"method": method, "seed": seed, "normalize_rows": normalize_rows, "device": device}
    asked["n_threads"] = 1 if n_at_once > 1 else n_threads
    cut = delayed(_cut_layer)
    jobs = (cut(info, layer, matrix, n_experts, asked) for layer in range(info.n_layers))
    rows = []
    with progress(info.n_layers, "layers", f"partition {method}") as bar:
        for labels in Parallel(n_at_once, return_as="generator")(jobs):
            rows.append(labels)
            bar.update(1)
    return ExpertPartition(np.stack(rows), n_experts)


def _cut_layer(info: ModelInfo, layer: int, matrix: str, n_experts: int, asked: dict[str, Any]) -> np.ndarray:
    weights = read_rows(info.path, info.family, layer, matrix)
    with naming(f"{info.name}, layer {layer}, {matrix}"):
        return cluster_neurons(weights, n_experts, **asked).labels

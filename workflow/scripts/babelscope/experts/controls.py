"""All layers of a model cut in one call: control partitions, and experts without a workflow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

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
    seed, n_threads, normalize_rows, device : as in ``cluster_neurons``. On the CPU each thread has a layer of
        its own: a clustering keeps one thread busy and several threads hardly more.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``; the message names model and layer.
    """
    device = resolve_device(device)
    n_threads = n_available_cpus() if n_threads is None else n_threads
    n_at_once = max(1, min(n_threads, info.n_layers)) if device == "cpu" else 1
    n_each = 1 if n_at_once > 1 else n_threads

    def cut(layer: int) -> np.ndarray:
        weights = read_rows(info.path, info.family, layer, matrix)
        with naming(f"{info.name}, layer {layer}, {matrix}"):
            asked: dict[str, Any] = {"method": method, "seed": seed, "normalize_rows": normalize_rows}
            return cluster_neurons(weights, n_experts, **asked, n_threads=n_each, device=device).labels

    rows = []
    with (
        progress(info.n_layers, "layers", f"partition {method}") as bar,
        threadpool_limits(max(1, n_each)),
        ThreadPoolExecutor(n_at_once) as pool,
    ):
        for labels in pool.map(cut, range(info.n_layers)):
            rows.append(labels)
            bar.update(1)
    return ExpertPartition(np.stack(rows), n_experts)

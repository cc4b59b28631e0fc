"""All layers of a model cut in one call: control partitions, and experts without a workflow."""

from __future__ import annotations

import numpy as np

from babelscope.experts.clustering import cluster_neurons
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
    seed, n_threads, normalize_rows, device : as in ``cluster_neurons``.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``; the message names model and layer.
    """
    rows = []
    with progress(info.n_layers, "layers", f"partition {method}") as bar:
        for layer in range(info.n_layers):
            weights = read_rows(info.path, info.family, layer, matrix)
            with naming(f"{info.name}, layer {layer}, {matrix}"):
                result = cluster_neurons(
                    weights,
                    n_experts,
                    method=method,
                    seed=seed,
                    normalize_rows=normalize_rows,
                    n_threads=n_threads,
                    device=device,
                )
                rows.append(result.labels)
            bar.update(1)
    return ExpertPartition(np.stack(rows), n_experts)

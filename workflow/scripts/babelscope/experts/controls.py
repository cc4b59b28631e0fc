"""Partitions that the study is held against: the same model, cut in another way."""

from __future__ import annotations

import numpy as np

from babelscope.experts.clustering import cluster_neurons
from babelscope.experts.partition import ExpertPartition
from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_rows
from babelscope.study.errors import naming
from babelscope.study.progress import progress


def cut_all_layers(
    info: ModelInfo,
    method: str,
    n_experts: int,
    matrix: str,
    seed: int,
    n_threads: int,
    normalize_rows: bool = False,
) -> ExpertPartition:
    """Cut every layer of a model in one job.

    Parameters
    ----------
    method : a row of ``babelscope.experts.clustering.CUTS``, for instance ``random`` or ``contiguous``.
    n_experts, matrix, seed, normalize_rows : as for the main partition.

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
                )
                rows.append(result.labels)
            bar.update(1)
    return ExpertPartition(np.stack(rows), n_experts)

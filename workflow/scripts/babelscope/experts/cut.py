"""One layer of a prepared model cut into experts."""

from __future__ import annotations

from typing import Any

from babelscope.experts.clustering import (
    ClusteringResult,
    ReferenceSse,
    cluster_neurons,
    prepared_rows,
    reference_sse,
)
from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_rows
from babelscope.study.errors import naming


def cut_layer(
    info: ModelInfo,
    layer: int,
    *,
    n_experts: int,
    method: str,
    matrix: str,
    normalize_rows: bool,
    n_starts: int,
    device: str,
    seed: int,
    n_threads: int,
) -> tuple[ClusteringResult, ReferenceSse]:
    """Cut a layer, and two other partitions to compare the result with.

    Parameters
    ----------
    info, layer : the prepared model, and the number of the layer from 0.
    matrix : rows that are clustered, see ``read_rows``.
    n_experts, method, normalize_rows, n_starts, device, seed, n_threads : as in ``cluster_neurons``.

    Raises
    ------
    BabelscopeError
        As ``read_rows`` and ``cluster_neurons``; the message names model and layer.
    """
    rows = read_rows(info.path, info.family, layer, matrix)
    shared: dict[str, Any] = {"seed": seed, "normalize_rows": normalize_rows, "n_threads": n_threads}
    shared["device"] = device
    with naming(f"{info.name}, layer {layer}, {matrix}"):
        prepared = prepared_rows(rows, n_experts, normalize_rows)
        result = cluster_neurons(prepared, n_experts, method=method, n_starts=n_starts, **shared)
        return result, reference_sse(prepared, result.labels, n_experts, **shared)

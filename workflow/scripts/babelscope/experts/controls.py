"""All layers of a model cut in one call: control partitions, and experts without a workflow."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from babelscope.experts.clustering import CUTS, cluster_neurons
from babelscope.experts.clustering.backend import NumpyBackend, n_available_cpus, resolve_device
from babelscope.experts.partition import ExpertPartition
from babelscope.model.families import FAMILIES
from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_rows
from babelscope.study.errors import BabelscopeError, naming
from babelscope.study.progress import progress

_HOST_BYTES = 8_000_000_000  # that layers side by side may take, in all


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
        layer each, as far as 8 GB suffice: a clustering keeps one thread busy, several hardly more.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``; the message names model and layer. And where a process was killed.
    """
    device = resolve_device(device)
    n_threads = n_available_cpus() if n_threads is None else n_threads
    n_at_once = min(n_threads, info.n_layers, _most_at_once(info)) if device == "cpu" else 1
    asked = {"method": method, "seed": seed, "normalize_rows": normalize_rows, "device": device}
    asked["n_threads"] = 1 if n_at_once > 1 else n_threads
    known = {method: CUTS.get(method)}, {info.family: FAMILIES.get(info.family)}
    cut = delayed(_cut_layer)
    jobs = (cut(info, layer, matrix, n_experts, asked, *known) for layer in range(info.n_layers))
    rows = []
    with progress(info.n_layers, "layers", f"partition {method}") as bar:
        try:
            for labels in Parallel(max(1, n_at_once), return_as="generator")(jobs):
                rows.append(labels)
                bar.update(1)
        except BrokenProcessPool as error:
            raise BabelscopeError(
                f"{info.name}: a process that cuts a layer was killed, mostly for want of memory: give the "
                f"job more, or fewer threads than {n_threads}"
            ) from error
    return ExpertPartition(np.stack(rows), n_experts)


def _most_at_once(info: ModelInfo) -> int:
    """Layers whose rows, prepared rows and Gram matrix have room side by side."""
    each = 4 * (4 * info.d_ff * info.d_model + min(info.d_ff**2, NumpyBackend.gram_bytes // 4))
    return max(1, _HOST_BYTES // each)


def _cut_layer(
    info: ModelInfo,
    layer: int,
    matrix: str,
    n_experts: int,
    asked: dict[str, Any],
    cuts: dict[str, Any],
    families: dict[str, Any],
) -> np.ndarray:
    """Labels of one layer, in a process that does not know what was added to the two tables."""
    for table, rows in ((CUTS, cuts), (FAMILIES, families)):
        table.update({name: row for name, row in rows.items() if row is not None})
    weights = read_rows(info.path, info.family, layer, matrix)
    with naming(f"{info.name}, layer {layer}, {matrix}"):
        return cluster_neurons(weights, n_experts, **asked).labels

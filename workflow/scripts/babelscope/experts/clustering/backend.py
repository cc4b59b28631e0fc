"""Arrays of the solvers: numpy on the CPU, torch where a device is asked for.

Results on the CPU do not depend on the number of threads: work is cut into tiles of fixed size, each tile is
computed by one thread with a single-threaded BLAS, and tiles are put together in a fixed order. Nor do they
depend on the processor: a BLAS adds in another order on another one, so inner products are summed in float64
and rounded to float32, which hides that order but for one product in some hundred million. Measured on the 18
layers of Gemma 3 270M, with OpenBLAS' kernels for Haswell, Sandy Bridge, Nehalem and Prescott, and without
numpy's AVX2: all labels are equal (summed in float32, three layers got other experts, as good ones).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from babelscope.experts.clustering.rows import partition_sse
from babelscope.study.errors import BabelscopeError

# Either a numpy array or a torch tensor: the solvers use only what both share.
Array = Any

_TILE = 1024


class NumpyBackend:
    """Numpy, with a pool of threads for tiles; None: in this thread alone.

    Attributes
    ----------
    xp : the module whose functions work on the arrays.
    block_elements, search_elements : elements of a block of gains, and of the search over all pairs.
    gram_bytes : a Gram matrix of more bytes is not stored.
    price_effort : multiplies the steps towards prices in the assignment.
    """

    xp: Any = np
    block_elements = 1 << 16
    search_elements = 1 << 20
    gram_bytes = 4 << 30
    price_effort = 1

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self.pool = pool

    def asarray(self, array: np.ndarray) -> Array:
        """Put an array on the device."""
        return array

    def to_numpy(self, array: Array) -> np.ndarray:
        """Bring an array back to the host."""
        return array

    def arange(self, stop: int) -> Array:
        """Return int64 (stop,), 0 to stop - 1."""
        return np.arange(stop)

    def flatnonzero(self, mask: Array) -> Array:
        """Return int64 indices of what is True in the flattened mask."""
        return np.flatnonzero(mask)

    def take_columns(self, array: Array, index: Array) -> Array:
        """Return columns ``index`` of a matrix."""
        return np.take(array, index, axis=1)

    def take_last(self, array: Array, index: Array) -> Array:
        """Return the element at ``index`` of the last axis of ``array``."""
        return np.take_along_axis(array, index[..., None], -1)[..., 0]

    def replayed(self, function: Callable[[Array], Array], example: Array) -> Callable[[Array], Array]:
        """Return ``function``, faster on a GPU, for arrays of the shape of ``example``."""
        return function

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Apply ``function`` to every item, in threads; the results stand in the order of the items."""
        return list((self.pool.map if self.pool else map)(function, items))

    def matmul_nt(self, left: Array, right: Array) -> Array:
        """Return ``left @ right.T`` in float32, by tiles."""
        out = np.empty((len(left), len(right)), dtype=np.float32)
        tiles = [(i, j) for i in range(0, len(left), _TILE) for j in range(0, len(right), _TILE)]

        def fill(tile: tuple[int, int]) -> None:
            i, j = tile
            out[i : i + _TILE, j : j + _TILE] = _products(left[i : i + _TILE], right[j : j + _TILE])

        self.map(fill, tiles)
        return out

    def sse(self, points: Array, labels: np.ndarray) -> float:
        """Return the sum of squared errors of a partition, as ``partition_sse``."""
        return partition_sse(points, labels)

    def matmul_nt_in_thread(self, left: Array, right: Array) -> Array:
        """Return ``left @ right.T`` in float32, within one thread of ``map``."""
        starts = range(0, len(right), _TILE)
        return np.hstack([_products(left, right[j : j + _TILE]).astype(np.float32) for j in starts])

    def gram(self, points: Array) -> Array:
        """Return the exactly symmetric ``points @ points.T``, by tiles of one half."""
        n_points = len(points)
        out = np.empty((n_points, n_points), dtype=np.float32)
        starts = range(0, n_points, _TILE)

        def fill(tile: tuple[int, int]) -> None:
            i, j = tile
            block = _products(points[i : i + _TILE], points[j : j + _TILE])
            out[i : i + _TILE, j : j + _TILE] = block
            out[j : j + _TILE, i : i + _TILE] = block.T

        self.map(fill, [(i, j) for i in starts for j in starts if i <= j])
        return out


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return ``left @ right.T`` in float64."""
    return left.astype(np.float64) @ right.astype(np.float64).T


class TorchBackend:
    """Torch on one device; same methods as ``NumpyBackend``."""

    block_elements = 1 << 26
    search_elements = 1 << 26
    gram_bytes = 8 << 30
    # Steps towards the prices cost next to nothing here, and spare the CPU the paths that they leave.
    price_effort = 4

    def __init__(self, device: str) -> None:
        import torch

        self.xp: Any = torch
        try:
            self.device = torch.device(device)
            torch.empty(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise BabelscopeError(f"device {device!r} cannot be used: {error}") from error

    def asarray(self, array: np.ndarray) -> Array:
        return self.xp.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def to_numpy(self, array: Array) -> np.ndarray:
        return array.cpu().numpy()

    def arange(self, stop: int) -> Array:
        return self.xp.arange(stop, device=self.device)

    def take_columns(self, array: Array, index: Array) -> Array:
        return self.xp.index_select(array, 1, index)

    def take_last(self, array: Array, index: Array) -> Array:
        return self.xp.take_along_dim(array, index[..., None], -1)[..., 0]

    def flatnonzero(self, mask: Array) -> Array:
        return self.xp.nonzero(mask.reshape(-1)).reshape(-1)

    def replayed(self, function: Callable[[Array], Array], example: Array) -> Callable[[Array], Array]:
        """Record the kernels of ``function`` once as a CUDA graph: what many small ones cost is their launch.

        What it returns is overwritten by its next call.
        """
        if self.device.type != "cuda":
            return function
        cuda = self.xp.cuda
        given = example.clone()
        stream = cuda.Stream(self.device)
        stream.wait_stream(cuda.current_stream(self.device))
        with cuda.stream(stream):
            function(given)
        cuda.current_stream(self.device).wait_stream(stream)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            result = function(given)

        def replay(array: Array) -> Array:
            given.copy_(array)
            graph.replay()
            return result

        return replay

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [function(item) for item in items]

    def sse(self, points: Array, labels: np.ndarray) -> float:
        own = self.xp.from_numpy(labels).to(self.device, self.xp.int64)
        whole = points.double()
        members = (own == self.arange(int(own.max()) + 1)[:, None]).double()  # (expert, neuron)
        means_squared = (members @ whole).square().sum(1) / members.sum(1).clamp_min(1)
        return max(0.0, float(whole.square().sum() - means_squared.sum()))

    def matmul_nt(self, left: Array, right: Array) -> Array:
        return left @ right.T

    matmul_nt_in_thread = matmul_nt

    def gram(self, points: Array) -> Array:
        product = points @ points.T
        return (product + product.T) / 2


Backend = NumpyBackend | TorchBackend


@contextmanager
def open_backend(device: str, n_threads: int | None) -> Iterator[Backend]:
    """Yield the arrays of a device.

    Parameters
    ----------
    device : ``cpu`` (numpy; torch is not imported), ``cpu-torch``, ``cuda``, ``cuda:N``, or ``auto``: cuda
        where torch finds a GPU, cpu otherwise.
    n_threads : threads on the CPU; None takes as many as this process may use.

    Raises
    ------
    BabelscopeError
        For another device, one that is not there, or fewer threads than one.
    """
    if n_threads is not None and n_threads < 1:
        raise BabelscopeError(f"n_threads {n_threads}: need at least 1, or None for all")
    device = resolve_device(device)
    if device == "cpu":
        n_threads = n_threads or n_available_cpus()
        with threadpool_limits(1):
            if n_threads == 1:  # to hand thousands of small tiles to a thread takes a tenth of the time
                yield NumpyBackend(None)
            else:
                with ThreadPoolExecutor(n_threads) as pool:
                    yield NumpyBackend(pool)
    elif device == "cpu-torch" or device.split(":")[0] == "cuda":
        yield TorchBackend("cpu" if device == "cpu-torch" else device)
    else:
        raise BabelscopeError(f"device {device!r}: allowed are auto, cpu, cpu-torch, cuda and cuda:N")


def resolve_device(device: str) -> str:
    """What ``auto`` means here: cuda where torch finds a GPU, cpu otherwise; others are what they are."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def n_available_cpus() -> int:
    """Processors that this process may use."""
    # Only Linux tells which processors this process may use.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

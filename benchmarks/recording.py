"""Recording beside the bare forward pass, the whole forward pass, and other tools that keep activations.

    make bench-recording                                   all parts
    python benchmarks/recording.py speed --dtypes float32  one part

Parts: `speed` (every variant in a process of its own, taking turns batch by batch), `agreement` (against a
float64 reference), `scaling` (time and memory over the number of tokens), `floor` (operations, bytes, matrix
rate). Needs a run of the default study up to its tokens and partitions; `make bench-recording` makes them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording_variants import VARIANTS, Bench, prepare

from babelscope.model.load import StudyModel
from babelscope.recording.check import check_model
from babelscope.recording.record import RecordingSettings, record_activations
from babelscope.recording.tap import ExpertTap
from babelscope.text.tokens import TokenizedCorpus

RESULTS = Path(__file__).resolve().parent / "results"


def peak_memory_mb(*, forget: bool = False) -> float:
    """Peak of this process's memory, or of the GPU's where there is one; ``forget`` starts again from now."""
    if torch.cuda.is_available():
        if forget:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 1e6
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def work(variant: str, bench: Bench, repeats: int) -> None:
    """Go on by one batch for each line on standard input, and answer with the time it took."""
    run = prepare(variant, bench)
    corpus, bench.corpus = bench.corpus, bench.warm_up
    run(lambda: None, 1)
    bench.corpus = corpus
    peak_memory_mb(forget=True)
    n_batches = repeats * sum(1 for _ in bench.batches())
    state: dict[str, Any] = {"done": 0}

    def start() -> None:
        sys.stdin.readline()
        state.update(cpu=time.process_time(), begin=now())

    def answer(**more: Any) -> None:
        more |= {"seconds": now() - state["begin"], "cpu_seconds": time.process_time() - state["cpu"]}
        print("answer " + json.dumps(more), flush=True)

    def after_batch() -> None:
        state["done"] += 1
        if state["done"] < n_batches:
            answer()
            start()

    start()
    counts = run(after_batch, repeats)
    answer(peak_memory_mb=peak_memory_mb(), counts=None if counts is None else counts.tolist())


def now() -> float:
    """Seconds, with the GPU's work done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Worker:
    """One variant in a process of its own, which waits while others run."""

    def __init__(self, variant: str, dtype: str, options: argparse.Namespace) -> None:
        flags = ["--documents", options.documents, "--tokens-per-batch", options.tokens_per_batch]
        flags += ["--results", options.results, "--model", options.model, "--dtypes", dtype]
        flags += ["--repeats", options.repeats, "--variants", variant]
        command = [sys.executable, __file__, "work", *map(str, flags)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.cpu_seconds = 0.0
        self.last: dict[str, Any] = {}

    def go_on(self) -> None:
        """Run the next batch; nothing where the process has died."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go on\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                self.last = json.loads(line.removeprefix("answer "))
                self.seconds.append(self.last["seconds"])
                self.cpu_seconds += self.last["cpu_seconds"]
                return


def measure_speed(options: argparse.Namespace) -> None:
    """Every variant runs the same batch in turn, batch by batch; of each batch the median of all rounds."""
    for dtype in options.dtypes:
        bench = Bench(options, dtype)
        n_batches = sum(1 for _ in bench.batches())
        workers = {variant: Worker(variant, dtype, options) for variant in options.variants}
        for step in range(options.repeats * n_batches):
            for worker in workers.values():
                worker.go_on()
            if (step + 1) % n_batches == 0:
                print(f"{dtype}: round {(step + 1) // n_batches} of {options.repeats}", flush=True)
        rows = []
        for variant, worker in workers.items():
            if worker.process.wait() or len(worker.seconds) < options.repeats * n_batches:
                print(f"{variant}: did not run to its end, see its error above", flush=True)
                continue
            per_batch = np.median(np.reshape(worker.seconds, (options.repeats, n_batches)), axis=0)
            seconds = float(per_batch.sum())
            rows.append(
                {
                    "variant": variant,
                    "model": options.model,
                    "dtype": dtype,
                    "tokens_per_second": round(bench.n_tokens / seconds, 1),
                    "ratio_to_bare": seconds,
                    "peak_memory_mb": round(worker.last["peak_memory_mb"]),
                }
            )
            recorded = workers.get("recording")
            if worker.last["counts"] and recorded:
                difference = np.subtract(worker.last["counts"], recorded.last["counts"])
                print(
                    f"{variant}: {np.abs(difference).sum() / 2:.0f} of recording's counts differ", flush=True
                )
        bare = next(row["ratio_to_bare"] for row in rows if row["variant"] == "bare")
        for row in rows:
            row["ratio_to_bare"] = round(bare / row["ratio_to_bare"], 3)
            print(row, f"cpu seconds: {workers[row['variant']].cpu_seconds:.1f}", flush=True)
        write_rows(options.out / "recording.csv", rows, ("variant", "model", "dtype"))


def measure_agreement(options: argparse.Namespace) -> None:
    """Decisions of the fast path against the float64 reference, on real text of three languages."""
    for dtype in options.dtypes:
        bench = Bench(options, dtype, options.reference_documents)
        model, variant = StudyModel(bench.load()), bench.variants[0]
        checks = {
            check.name: check.value
            for check in check_model(
                model,
                bench.info,
                bench.corpus,
                variant.partition,
                variant.top_k,
                bench.n_tokens,
            )
        }
        row = {"model": options.model, "dtype": dtype, "tokens": bench.n_tokens}
        row["agreement"] = round(1 - checks["active_experts"], 7)
        for name in ("z_scores", "distance_to_cut", "activations", "ffn_output", "all_experts_kept"):
            row[name] = float(f"{checks[name]:.3g}")
        print(row, flush=True)
        write_rows(options.out / "recording_agreement.csv", [row], ("model", "dtype"))


def record_many(options: argparse.Namespace, dtype: str, n_tokens: int) -> None:
    """Record about ``n_tokens`` tokens in this process: the documents, over and over."""
    bench = Bench(options, dtype)
    n_documents = round(n_tokens / bench.n_tokens * len(bench.corpus.profile_idx))
    idx = np.resize(bench.corpus.profile_idx, n_documents)
    lengths = np.diff(bench.corpus.offsets)[idx]
    pieces = [bench.corpus.document(int(i)) for i in idx]
    corpus = TokenizedCorpus(
        np.concatenate(pieces),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.zeros(n_documents, dtype=bool),
        bench.corpus.n_bytes[idx],
        bench.corpus.bos_token_id,
    )
    model, settings = StudyModel(bench.load(), options.tokens_per_batch), RecordingSettings()
    record_activations(model, corpus, np.arange(20), bench.variants, settings)
    begin = time.perf_counter()
    record_activations(model, corpus, np.arange(n_documents), bench.variants, settings)
    seconds = time.perf_counter() - begin
    row = {"model": options.model, "dtype": dtype, "tokens": int(lengths.sum()) + n_documents}
    row |= {"seconds": round(seconds, 2), "tokens_per_second": round(row["tokens"] / seconds, 1)}
    print("answer " + json.dumps(row | {"peak_memory_mb": round(peak_memory_mb())}), flush=True)


def measure_scaling(options: argparse.Namespace) -> None:
    """Time and peak memory of recording three partitions over the number of tokens, a process for each."""
    for dtype in options.dtypes:
        for n_tokens in options.tokens:
            flags = ["--results", options.results, "--model", options.model, "--dtypes", dtype]
            flags += ["--documents", options.documents, "--tokens-per-batch", options.tokens_per_batch]
            command = [sys.executable, __file__, "record", "--tokens", n_tokens, *flags]
            done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
            line = next(line for line in done.stdout.splitlines() if line.startswith("answer "))
            row = json.loads(line.removeprefix("answer "))
            print(row, flush=True)
            write_rows(options.out / "recording_scaling.csv", [row], ("model", "dtype", "tokens"))


def note(times: list[float]) -> None:
    times.append(now())


def measure_floor(options: argparse.Namespace) -> None:
    """Operations and bytes of a token, the machine's matrix rate, and what the bare model reaches of it."""
    for dtype in options.dtypes:
        bench = Bench(options, dtype)
        model = StudyModel(bench.load())
        a, b = (torch.randn(2048, 2048, device=bench.device).to(getattr(torch, dtype)) for _ in range(2))
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            (a @ b).sum().item()
            times.append(time.perf_counter() - begin)
        rate = 2 * 2048**3 / statistics.median(times)
        run = prepare("bare", bench)
        n_batches = sum(1 for _ in bench.batches())
        ends: list[float] = []
        run(partial(note, ends), options.repeats + 1)
        times = np.diff(ends[n_batches - 1 :: n_batches]).tolist()  # the first round warms up
        begin = now()
        with ExpertTap(model, [bench.variants[0].partition]):
            pass
        setup_seconds = now() - begin
        tokens_per_second = bench.n_tokens / statistics.median(times)
        linear = sum(m.weight.numel() for m in model.base.modules() if isinstance(m, torch.nn.Linear))
        n_activations = bench.info.n_layers * bench.info.d_ff
        row = {
            "model": options.model,
            "dtype": dtype,
            "matrix_rate_gflops": round(rate / 1e9, 1),
            "mflop_per_token": round(2 * linear / 1e6, 1),
            "activations_per_token": n_activations,
            "activation_bytes_per_token": n_activations * a.element_size(),
            "bare_tokens_per_second": round(tokens_per_second, 1),
            "share_of_matrix_rate": round(2 * linear * tokens_per_second / rate, 3),
            "setup_seconds_per_job": round(setup_seconds, 3),
        }
        print(row, flush=True)
        write_rows(options.out / "recording_floor.csv", [row], ("model", "dtype"))


def write_rows(path: Path, rows: Sequence[dict[str, Any]], key: Sequence[str]) -> None:
    """Put rows into a CSV; rows with the same key are replaced, all others stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table: dict[tuple[str, ...], dict[str, Any]] = {}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            table = {tuple(row[name] for name in key): row for row in csv.DictReader(file)}
    table |= {tuple(str(row[name]) for name in key): row for row in rows}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["all", "speed", "agreement", "scaling", "floor", "work", "record"])
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--results", type=Path, default=RESULTS.parents[1] / "results")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--documents", type=int, default=40, help="of each language")
    parser.add_argument("--reference-documents", type=int, default=20, help="of each language, for agreement")
    parser.add_argument("--tokens", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000])
    parser.add_argument("--tokens-per-batch", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    parts = {
        "speed": measure_speed,
        "agreement": measure_agreement,
        "scaling": measure_scaling,
        "floor": measure_floor,
    }
    if options.part == "work":
        work(options.variants[0], Bench(options, options.dtypes[0]), options.repeats)
    elif options.part == "record":
        record_many(options, options.dtypes[0], options.tokens[0])
    else:
        for name, measure in parts.items():
            if options.part in ("all", name):
                measure(options)


if __name__ == "__main__":
    main()

"""The study at the paper's size on this machine's GPU: what each rule takes, in time and in memory.

    make bench-paper                                       # all parts, one after the other
    python benchmarks/paper_scale.py nine --cap 24 --minutes 9
    python benchmarks/paper_scale.py routers --out benchmarks/results/routers_study.csv

Model and text are made first: a model of Llama 2 7B's shape, or for ``routers`` of OLMoE-1B-7B's, with random
weights (speed and memory alone mean something) and documents of about 200 tokens from the packaged sentences.
Then the real workflow runs. A run that is stopped, by ``--minutes`` or otherwise, goes on where it stopped
when the command is given again; what was measured before is kept in the work folder. The table is
``benchmarks/results/paper_scale.csv``.

Times are those of Snakemake's benchmark files, a job's interval ends when that file was written. The GPU is
sampled with nvidia-smi twice a second: busy is its own figure, the share of time in which a kernel ran.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import yaml
from paper_inputs import LANGUAGES, make_model, make_text
from workflow_rules import model_rules

ROOT = Path(__file__).resolve().parents[1]
CSV = ROOT / "benchmarks" / "results" / "paper_scale.csv"
COLUMNS = (
    "card",
    "memory_cap_gb",
    "languages",
    "profile_documents",
    "rule",
    "jobs",
    "failed",
    "seconds_sum",
    "seconds_wall",
    "gpu_busy_share",
    "peak_gpu_gb",
    "peak_host_gb",
)


@dataclass(frozen=True)
class Part:
    """One run of the workflow.

    Attributes
    ----------
    languages : number of languages, of the paper's nine.
    profile_documents : documents to record, per language.
    targets : of snakemake.
    shape : of the model, a row of ``SHAPES``; None: the default configuration as it is.
    recording : what differs from the default in what one pass records; such a part runs only where it is
        named, with a table of its own (``--out``).
    """

    languages: int
    profile_documents: int
    targets: tuple[str, ...]
    shape: str | None = "llama-7b"
    recording: Mapping[str, object] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of the model's folder in the work folder."""
        return "model" if self.shape == "llama-7b" else f"model-{self.shape}"


PARTS = {
    "nine": Part(9, 1500, ("all",)),
    "full": Part(2, 1500, ("full",)),
    "recording": Part(1, 10000, ("results/llama-7b-shape/activations/en.h5",)),
    "recording-one": Part(
        1,
        10000,
        ("results/llama-7b-shape/activations/en.h5",),
        recording={"controls": [], "other_partitions": 0},
    ),
    "default": Part(9, 600, ("all",), shape=None),
    "routers": Part(3, 1500, ("all",), shape="olmoe-1b-7b"),
}


def write_settings(part: Part, cap: float | None, work: Path, jobs_per_gpu: int) -> Path:
    """The configuration of one run, as a file that is laid over the default one."""
    model = f"{part.shape}-shape" if part.shape else "gemma-3-270m"
    definition: dict[str, object] = {} if cap is None else {"gpu_memory_gb": cap}
    settings: dict[str, object] = {"languages": LANGUAGES[: part.languages]}
    if part.shape:
        config = json.loads((work / part.folder / "config.json").read_text(encoding="utf-8"))
        definition |= {
            "source": {"path": str(work / part.folder)},
            "n_layers": config["num_hidden_layers"],
            "dtype": "bfloat16",
            "device": "auto",
            "compile": False,  # 4 s of each job, more than it saves in one
            "tokens_per_batch": 16384,
        }
        settings |= {
            "models": [model],
            "corpus": {
                "profile_documents": part.profile_documents,
                "heldout_documents": 100,
                "min_characters": 200,
                "max_tokens": 200,
                "sources": {"default": {"files": str(work / "text" / "{lang}.jsonl"), "text_column": "text"}},
            },
            "experts": {"method": "router"} if part.shape.startswith("olmoe") else {"device": "auto"},
            "recording": {"documents_per_block": 100, **part.recording},
            "pruning": {"compensation_documents": 300, "random_seeds": 1},
        }
    settings["gpus"] = {"jobs_per_gpu": jobs_per_gpu}
    if part.languages == 1:
        # a study needs two languages; the target asks for one
        settings["languages"] = LANGUAGES[:2]
    if definition:
        settings["model_definitions"] = {model: definition}
    path = work / "settings.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def about_gpu(what: str) -> list[str]:
    """Command that says something of the first GPU that jobs see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    return ["nvidia-smi", *(["-i", visible] if visible else []), f"--query-gpu={what}"]


class Sampler(threading.Thread):
    """Writes time, GPU busy share and GPU memory (bytes used by all) to a file, twice a second."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.stopped = path, threading.Event()

    def run(self) -> None:
        query = [*about_gpu("utilization.gpu,memory.used"), "--format=csv,noheader,nounits"]
        with open(self.path, "a", encoding="utf-8") as file:
            while not self.stopped.wait(0.5):
                try:
                    answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
                except (OSError, subprocess.SubprocessError):
                    return
                busy, memory = answer.stdout.splitlines()[0].split(",")
                file.write(f"{time.time():.2f},{float(busy) / 100},{float(memory) / 1024:.2f}\n")
                file.flush()


def run_part(part: Part, settings: Path, run: Path, minutes: float, cores: str) -> bool:
    """Run snakemake until it ends or the time is over; True where the study is complete."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", cores]
    command += ["--directory", str(run), "--configfile", str(settings), "--rerun-incomplete", "--nolock"]
    command += ["--workflow-profile", str(ROOT / "profiles" / "default"), "--", *part.targets]
    sampler = Sampler(run / "gpu.csv")
    sampler.start()
    begin = time.time()
    with open(run / "snakemake.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(timeout=minutes * 60 if minutes else None)
        except subprocess.TimeoutExpired:
            code = stop(process)
    sampler.stopped.set()
    with open(run / "runs.csv", "a", encoding="utf-8") as file:
        file.write(f"{begin:.2f},{time.time():.2f},{code}\n")
    if code and minutes == 0:
        print(f"snakemake ended with {code}: see {run / 'snakemake.log'}", file=sys.stderr)
    return code == 0


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a run and its jobs: as a user would, and where they do not end within seconds, at once."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=8)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def read_rows(path: Path) -> list[list[float]]:
    """Numbers of a file without header; none where the file is missing."""
    if not path.exists():
        return []
    return [[float(cell) for cell in row] for row in csv.reader(path.open(encoding="utf-8"))]


def union_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals, seconds."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def tabulate(name: str, part: Part, cap: float | None, run: Path) -> list[dict[str, object]]:
    """Rows of the table of one run, from Snakemake's benchmark files, its log and the samples of the GPU."""
    jobs: dict[str, list[tuple[float, float, float]]] = {}
    for path in sorted((run / "benchmarks" / "runs").rglob("*.tsv")):
        with path.open(encoding="utf-8") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        end = path.stat().st_mtime
        memory = float(row["max_rss"]) / 1024 if row["max_rss"] not in ("-", "NA") else 0.0
        jobs.setdefault(rule_of(path, run), []).append((end - float(row["s"]), end, memory))
    failed: dict[str, int] = {}
    log = (run / "snakemake.log").read_text(encoding="utf-8", errors="replace")
    for rule in re.findall(r"^Error in rule (\w+):", log, re.M):
        failed[rule] = failed.get(rule, 0) + 1
    samples = read_rows(run / "gpu.csv")
    head = {"card": card(), "memory_cap_gb": cap or "", "languages": part.languages}
    head["profile_documents"] = part.profile_documents
    rows = []
    for rule in sorted(set(jobs) | set(failed)):
        found = jobs.get(rule, [])
        spans = [(begin, end) for begin, end, _ in found]
        rows.append(
            head | {"rule": rule} | measure(spans, [m for *_, m in found], failed.get(rule, 0), samples)
        )
    of_model = [job for rule in model_rules() for job in jobs.get(rule, [])]
    everything = [job for found in jobs.values() for job in found]
    whole = measure(
        [job[:2] for job in of_model], [job[2] for job in everything], sum(failed.values()), samples
    )
    whole |= {
        "jobs": len(everything),
        "seconds_sum": round(sum(end - begin for begin, end, _ in everything), 1),
    }
    whole["seconds_wall"] = round(sum(row[1] - row[0] for row in read_rows(run / "runs.csv")), 1)
    return [*rows, head | {"rule": "all"} | whole]


def rule_of(path: Path, run: Path) -> str:
    """Name of the rule that wrote a benchmark file: a folder of its path, or its stem."""
    parts = path.relative_to(run / "benchmarks" / "runs").with_suffix("").parts
    scripts = {script.stem for script in (ROOT / "workflow" / "scripts").glob("*.py")}
    named = [part for part in parts if part in scripts]
    return named[0] if named else {"corpora": "sample_corpus"}.get(parts[0], parts[-1])


def measure(
    spans: Sequence[tuple[float, float]],
    memory: Sequence[float],
    failed: int,
    samples: Sequence[Sequence[float]],
) -> dict[str, object]:
    """What the intervals of some jobs took; the GPU's samples count that fall into them."""
    inside = [s for s in samples if any(begin <= s[0] <= end for begin, end in spans)]
    return {
        "jobs": len(spans),
        "failed": failed,
        "seconds_sum": round(sum(end - begin for begin, end in spans), 1),
        "seconds_wall": round(union_seconds(spans), 1),
        "gpu_busy_share": round(statistics.fmean(s[1] for s in inside), 3) if inside else "",
        "peak_gpu_gb": round(max(s[2] for s in inside), 2) if inside else "",
        "peak_host_gb": round(max(memory, default=0.0), 2),
    }


def card() -> str:
    """Name of the first GPU."""
    query = [*about_gpu("name"), "--format=csv,noheader"]
    try:
        return (
            subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
        )
    except (OSError, subprocess.SubprocessError, IndexError):
        return "none"


def write_results(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Put rows into the table in place of older ones of the same run."""
    keys = COLUMNS[:4]
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    new = [{name: str(row[name]) for name in COLUMNS} for row in rows]
    replaced = {tuple(row[key] for key in keys) for row in new}
    kept = [row for row in old if tuple(row[key] for key in keys) not in replaced]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    usual = [name for name, part in PARTS.items() if not part.recording]
    parser.add_argument("parts", nargs="*", default=usual, help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--cap", type=float, help="gpu_memory_gb of the model; default: what is free")
    parser.add_argument("--minutes", type=float, default=0, help="stop each run after as long; 0: never")
    parser.add_argument("--targets", nargs="+", help="of snakemake, in place of the part's own")
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that share a GPU")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "paper-scale", help="folder, 40 GB")
    parser.add_argument("--out", type=Path, default=CSV)
    parser.add_argument(
        "--sentences", type=Path, help="sentences.txt of the package eld; default: as installed"
    )
    args = parser.parse_args()
    work = args.work.resolve()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sentences = args.sentences
    if sentences is None:
        from babelscope.files.packages import packaged_file

        sentences = packaged_file("eld", "sentences.txt")
    for name in args.parts:
        if name not in PARTS:
            parser.error(f"no part {name!r}; there are {', '.join(PARTS)}")
        part = replace(PARTS[name], targets=args.targets or PARTS[name].targets)
        n_documents = max(p.profile_documents for p in PARTS.values() if p.shape) + 1000
        if part.shape and not (work / "text" / f"{LANGUAGES[-1]}.jsonl").exists():
            make_text(work / "text", n_documents, sentences)
        if part.shape and not (work / part.folder / "config.json").exists():
            # in a process of its own, which gives the GPU back: what jobs take is measured on this machine
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(make_model, work / part.folder, sentences, part.shape).result()
        run = work / (name if args.cap is None else f"{name}-{args.cap:g}")
        run.mkdir(parents=True, exist_ok=True)
        settings = write_settings(part, args.cap, work if part.shape else run, args.jobs_per_gpu)
        complete = run_part(part, settings, run, args.minutes, args.cores)
        write_results(tabulate(name, part, args.cap, run), args.out)
        print(f"{run.name}: {'complete' if complete else 'not complete: give the command again'}")


if __name__ == "__main__":
    main()

"""Selectors, compensations and their settings on one model: the tables and curves of benchmarks/README.md.

    snakemake --cores all --configfile benchmarks/selectors_study.yaml --directory results/selectors \\
        -- results/run_config.yaml results/gemma-3-270m/neurons/{en,fr,es,pt,bn,ur,hi,ar,zh}.h5
    python benchmarks/selectors_study.py run --results results/selectors --seconds 420
    python benchmarks/selectors_study.py tables         # or csv

Processes share the languages, all on the GPU where there is one, and each measures a case in all of its
languages before the next. Each finished model is a line of a file, and another run goes on where one stopped.
Losses are nats per token on held-out documents.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from selectors_cases import DENSE, parts
from selectors_models import LANGUAGES
from selectors_tables import tables, write_losses

FOLDER = Path(__file__).resolve().parent / "results" / "selectors"


def work(args: argparse.Namespace) -> None:
    """Measure some languages, case by case, until the time is over."""
    import torch
    from selectors_models import Shared, Study

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    shared = Shared(args.results, args.model)
    studies = [Study(shared, language) for language in args.languages]
    every = parts(args.model)
    asked = {name: every[name] for name in args.parts or every}  # in the order in which they are named
    cases = [(part, case) for part, cases in asked.items() for case in cases]
    for (part, case), study in itertools.product([("dense", DENSE), *cases], studies):
        file = args.out / f"{args.model}_{study.language}.jsonl"
        done = {json.loads(line)["key"] for line in file.read_text().splitlines()} if file.exists() else set()
        if case.key in done:
            continue
        if time.time() > args.until:
            print(f"{study.language}: time is over at {part}", flush=True)
            return
        name = f"{study.language} {part:10s}"
        if not study.can_measure(case):
            print(f"{name} is waiting for a recording: {case.key}", flush=True)
            continue
        try:
            found = study.measure(case)
        except (torch.OutOfMemoryError, torch.linalg.LinAlgError) as error:
            print(f"{name} {case.key}: {error}", flush=True)
            continue
        row = {"key": case.key, "part": part, "language": study.language, **asdict(case), **found}
        with file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{name} {found['nll']:.3f} {found['seconds']:6.1f} s {case.key}", flush=True)


def run(args: argparse.Namespace) -> None:
    """Several processes, each with its share of the languages."""
    until = time.time() + args.seconds
    jobs = min(args.jobs, len(args.languages))
    threads = max(1, (os.cpu_count() or 2) // jobs)
    running = []
    for number in range(jobs):
        command = [sys.executable, __file__, "run", "--worker", "--until", str(until)]
        command += ["--threads", str(threads), "--model", args.model]
        command += ["--results", str(args.results.resolve()), "--out", str(args.out.resolve())]
        command += ["--languages", *args.languages[number::jobs], "--parts", *args.parts]
        running.append(subprocess.Popen(command))
    while any(process.poll() is None for process in running):
        if time.time() > until + 25:  # a case that takes long: it is measured by the next run
            for process in running:
                process.terminate()
        time.sleep(0.5)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "tables", "csv"])
    parser.add_argument("--results", type=Path, default=Path("results/selectors"), help="folder of the study")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--parts", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--jobs", type=int, default=9, help="processes at a time")
    parser.add_argument("--worker", action="store_true", help="one of these processes")
    parser.add_argument("--until", type=float, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what == "tables":
        tables(args.out, args.model)
    elif args.what == "csv":
        write_losses(args.out, FOLDER.with_suffix(".csv"))
    elif args.worker:
        work(args)
    else:
        run(args)


if __name__ == "__main__":
    main()

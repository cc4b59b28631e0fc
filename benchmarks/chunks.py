"""Simulations in pieces over processes: what is done is kept, and a second call goes on.

A chunk is some studies of one scenario; what it draws depends on the scenario and its number alone, not on
how many processes there are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.tables import write_table

Scenario = Mapping[str, Any]
Tally = dict[str, list[float]]
Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]


def measure(tasks: Mapping[str, Callable[[], Any]], path: Path, cores: int, seconds: float) -> dict[str, Any]:
    """Results of all tasks by key; those in the file are done, others are added to it as they end.

    Parameters
    ----------
    path : JSON lines ``[key, result]``. cores : processes.
    seconds : after which no further task begins.
    """
    done = read_lines(path)
    left = [key for key in tasks if key not in done]
    print(f"{path.name}: {len(tasks) - len(left)} of {len(tasks)} done, {cores} processes", flush=True)
    end = time.monotonic() + seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, spawn) as pool, path.open("a", encoding="utf-8") as file:
        running: dict[Future[Any], str] = {}
        while running or left:
            while left and len(running) < 2 * cores and time.monotonic() < end:
                key = left.pop(0)
                running[pool.submit(tasks[key])] = key
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                key = running.pop(future)
                done[key] = future.result()
                file.write(json.dumps([key, done[key]]) + "\n")
                file.flush()
    print(f"{path.name}: {len([key for key in tasks if key in done])} of {len(tasks)} done", flush=True)
    return {key: done[key] for key in tasks if key in done}


def read_lines(path: Path) -> dict[str, Any]:
    """Results by key; a last line that was cut off is left out."""
    done: dict[str, Any] = {}
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n"):
            key, result = json.loads(line)
            done[key] = result
    return done


def simulate(
    described: str | None,
    work: Callable[[Scenario, int, int], Tally],
    parts: Mapping[str, tuple[str, Sequence[Scenario]]],
    rows_of: Callable[[Scenario, int, Mapping[str, np.ndarray]], list[Row]],
    columns: Sequence[str],
) -> None:
    """The command line of a simulation: run chunks of one part, and write its table.

    Parameters
    ----------
    described : what ``--help`` says.
    work : see ``run_chunks``.
    parts : by name the stem of the table in ``benchmarks/results``, and the scenarios; without a name the
        first one is run.
    rows_of : a scenario, the number of studies and their sums to rows of the table.
    columns : of the table.
    """
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=list(parts), nargs="?", default=next(iter(parts)))
    stem, _ = next(iter(parts.values()))
    add_arguments(parser, ROOT / "benchmarks" / "runs" / f"{stem}.jsonl")
    args = parser.parse_args()
    stem, scenarios = parts[args.part]
    rows = [row for found in run_chunks(work, scenarios, args) for row in rows_of(*found)]
    write_table(ROOT / "benchmarks" / "results" / f"{stem}.csv", rows, columns)


def add_arguments(parser: argparse.ArgumentParser, keep: Path) -> None:
    """Options of every simulation; ``keep`` is where chunks that are done are kept."""
    parser.add_argument("--studies", type=int, default=400, help="simulated studies of each scenario")
    parser.add_argument("--chunk", type=int, default=50, help="studies that are kept together")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, default=keep, help="chunks that are done")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no chunk after so many")


def scenario_rng(scenario: Scenario, seed: int, chunk: int) -> np.random.Generator:
    """A generator that depends on the scenario, a seed and the number of the chunk."""
    return np.random.default_rng([seed, chunk, zlib.crc32(json.dumps(scenario, sort_keys=True).encode())])


def run_chunks(
    work: Callable[[Scenario, int, int], Tally], scenarios: Sequence[Scenario], args: argparse.Namespace
) -> list[tuple[Scenario, int, dict[str, np.ndarray]]]:
    """Run chunks of every scenario, first the first chunk of each, and add up what they found.

    Parameters
    ----------
    work : scenario, number of the chunk and studies of it to sums over its studies, by name.
    args : of ``add_arguments``.

    Returns
    -------
    Scenario, studies and sums of each that has a chunk done, in the order given.
    """
    keys = [json.dumps([scenario, args.chunk], sort_keys=True) for scenario in scenarios]
    tasks = {
        f"{chunk} {key}": partial(work, scenario, chunk, args.chunk)
        for chunk in range(-(-args.studies // args.chunk))
        for key, scenario in zip(keys, scenarios, strict=True)
    }
    done = measure(tasks, args.keep, args.processes, 60 * args.minutes)
    found = []
    for key, scenario in zip(keys, scenarios, strict=True):
        tallies = [tally for name, tally in done.items() if name.partition(" ")[2] == key]
        sums: dict[str, Any] = defaultdict(int)
        for tally in tallies:
            for name, values in tally.items():
                sums[name] = sums[name] + np.array(values)
        if tallies:
            found.append((scenario, args.chunk * len(tallies), dict(sums)))
    return found

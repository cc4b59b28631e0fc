"""Simulations in chunks over processes: what is done is kept, and a second call goes on.

A chunk is some studies of one scenario; what it draws depends on the scenario and its number alone, not on
how many processes there are.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

Scenario = Mapping[str, Any]
Tally = dict[str, list[float]]


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
    args.keep.parent.mkdir(parents=True, exist_ok=True)
    lines = args.keep.read_text(encoding="utf-8").splitlines() if args.keep.is_file() else []
    done = {(key, chunk): tally for key, chunk, tally in map(json.loads, lines)}
    keys = [json.dumps([scenario, args.chunk], sort_keys=True) for scenario in scenarios]
    todo = [
        (key, chunk, scenario)
        for chunk in range(-(-args.studies // args.chunk))
        for key, scenario in zip(keys, scenarios, strict=True)
        if (key, chunk) not in done
    ]
    end = time.monotonic() + 60 * args.minutes
    with ProcessPoolExecutor(args.processes) as pool, args.keep.open("a", encoding="utf-8") as file:
        while todo and time.monotonic() < end:
            batch, todo = todo[: 2 * args.processes], todo[2 * args.processes :]
            running = {pool.submit(work, one[2], one[1], args.chunk): one for one in batch}
            for job in as_completed(running):
                key, chunk, _ = running[job]
                done[key, chunk] = job.result()
                file.write(json.dumps([key, chunk, done[key, chunk]]) + "\n")
                file.flush()
            print(f"{len(done)} chunks done, {len(todo)} left", flush=True)
    found = []
    for key, scenario in zip(keys, scenarios, strict=True):
        tallies = [tally for (other, _), tally in done.items() if other == key]
        sums: dict[str, Any] = defaultdict(int)
        for tally in tallies:
            for name, values in tally.items():
                sums[name] = sums[name] + np.array(values)
        if tallies:
            found.append((scenario, args.chunk * len(tallies), dict(sums)))
    return found

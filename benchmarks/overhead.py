"""What share of a run's time is not a rule's own work: interpreter start, imports, model loading, idle cores.

    python benchmarks/overhead.py .snakemake/log/*.log --cores 2

Job times come from Snakemake's log of the run. The CPU time of starting Python and importing what a rule's
script imports is measured here, in processes of their own, and so is that of loading the model; both are
subtracted once for each job of a rule. The model is that of ``results/gemma-3-270m``.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from workflow_rules import model_rules

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
REPEATS = 3


@dataclass(frozen=True)
class Job:
    rule: str
    begin: datetime
    end: datetime
    threads: int

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()


def read_jobs(log: Path) -> list[Job]:
    """Jobs of Snakemake's log, in order of their end."""
    now, rule, jobs = datetime.min, "", []
    open_jobs: dict[str, tuple[str, datetime, int]] = {}
    last = ""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if stamp := re.match(r"\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]", line):
            now = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y")
        elif start := re.match(r"(?:local)?rule (\w+):", line):
            rule = start[1]
        elif (number := re.match(r"    jobid: (\d+)", line)) and rule:
            last, open_jobs[number[1]], rule = number[1], (rule, now, 1), ""
        elif (threads := re.match(r"    threads: (\d+)", line)) and last in open_jobs:
            open_jobs[last] = (*open_jobs[last][:2], int(threads[1]))
        elif (done := re.match(r"Finished jobid: (\d+)", line)) and done[1] in open_jobs:
            name, begin, n_threads = open_jobs.pop(done[1])
            jobs.append(Job(name, begin, now, n_threads))
    return jobs


def time_process(code: str) -> float:
    """Median CPU seconds of a Python process that runs some code in one thread."""
    times = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def time_import(rule: str) -> float:
    """Seconds to start Python and import what the script of a rule imports; nothing of it runs."""
    script = SCRIPTS / f"{rule}.py"
    if not script.exists():
        return 0.0
    return time_process(f"import runpy; runpy.run_path({str(script)!r})")


def time_loading() -> float:
    """Seconds to load the model, imports not counted."""
    code = (
        "from babelscope.model.info import read_model_info\n"
        "from babelscope.model.load import load_model\n"
        "info = read_model_info('results/gemma-3-270m/model.json')\n"
    )
    return max(0.0, time_process(code + "load_model(info)") - time_process(code))


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("log", type=Path)
    parser.add_argument("--cores", type=int, required=True, help="of the run")
    options = parser.parse_args()
    jobs = [job for job in read_jobs(options.log) if job.rule not in ("all", "full", "evidence")]
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    loading, of_model = time_loading(), model_rules()
    wall = (max(job.end for job in jobs) - min(job.begin for job in jobs)).total_seconds()
    total = wall * options.cores
    started = loaded = own = 0.0
    print("| rule | jobs | threads | seconds, all jobs | start and imports | model loading | own work |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for rule, found in sorted(by_rule.items(), key=lambda item: -sum(job.seconds for job in item[1])):
        seconds, threads = sum(job.seconds for job in found), found[0].threads
        start = min(seconds, time_import(rule) * len(found))
        load = min(seconds - start, loading * len(found) if rule in of_model else 0.0)
        rest = seconds - start - load
        started, loaded, own = started + start * threads, loaded + load * threads, own + rest * threads
        share = rest / seconds if seconds else 0.0
        counts = f"| `{rule}` | {len(found)} | {threads} | {seconds:.0f} "
        print(f"{counts}| {start:.0f} | {load:.0f} | {share:.0%} |")
    idle = total - started - loaded - own
    print(
        f"\n{wall:.0f} s on {options.cores} cores, {total:.0f} core seconds: own work {own / total:.1%}, ",
        end="",
    )
    print(f"start and imports {started / total:.1%}, model loading {loaded / total:.1%}, ", end="")
    print(f"idle {idle / total:.1%}")


if __name__ == "__main__":
    main()

"""Planted truth: how often the tests of the evidence reject where nothing is, and where something is.

Languages, scripts, areas, vocabularies and fertilities are the real ones; frequencies are drawn from them.

    python benchmarks/power.py tests --studies 2000     # null x test: size; effect x test: power
    python benchmarks/power.py verdicts --studies 400   # a false "holds" where nothing is
    python benchmarks/power.py experts --studies 5      # planted language- and family-specific neurons

Tables go to benchmarks/results/power_*.csv and are printed; `make bench-power` runs all three. All cores are
used; each piece of work is a line of a file as soon as it is done, and another run goes on where one stopped.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # one process per core; read when numpy is imported

import argparse  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import yaml  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from chunks import measure  # noqa: E402
from planted_experts import expert_tasks, tabulate_experts  # noqa: E402
from planted_tests import Row, real_predictors, tabulate_tests, test_tasks  # noqa: E402
from planted_verdicts import tabulate_verdicts, verdict_tasks  # noqa: E402

from babelscope.files.tables import write_table  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PARTS = ("tests", "verdicts", "experts")


def cached_predictors(path: Path, codes: Sequence[str], model: Path) -> dict[str, np.ndarray]:
    """``real_predictors``, from the file where it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **real_predictors(codes, model))
    with np.load(path) as found:
        return dict(found)


def markdown(rows: Sequence[Row], cells: Callable[[Row], Sequence[str]], heads: Sequence[str]) -> str:
    """A table for docs/evidence.md."""
    lines = [heads, ["---"] * len(heads), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show_tests(rows: Sequence[Row]) -> str:
    """Rates by scenario: the three measures, and, in bold, all of them."""
    columns = ["genus", "genealogy_alone", "genealogy", "script_genus", "script_genealogy"]
    by_scenario: dict[str, list[Row]] = {}
    for row in rows:
        by_scenario.setdefault(row["scenario"], []).append(row)

    def cells(scenario: str) -> list[str]:
        of_measures = by_scenario[scenario]
        texts = [
            ", ".join(f"{row[name]:.2f}" for row in of_measures[:-1]) + f"; **{of_measures[-1][name]:.3f}**"
            for name in columns
        ]
        return [scenario, *texts]

    return markdown(list(by_scenario), cells, ["planted", *columns])  # type: ignore[arg-type]


def show(part: str, rows: Sequence[Row]) -> str:
    if part == "tests":
        return show_tests(rows)
    heads = list(rows[0])
    return markdown(
        rows, lambda row: [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()], heads
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--studies", type=int, default=200, help="simulated studies of each scenario")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "results" / "gemma-3-270m",
        help="of one model: tests need its model.json, verdicts its evidence and recordings",
    )
    parser.add_argument(
        "--config", type=Path, default=ROOT / "config" / "config.yaml", help="has the languages"
    )
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after these")
    parser.add_argument("--work", type=Path, default=RESULTS / "power", help="of pieces that are done")
    args = parser.parse_args()
    codes = yaml.safe_load(args.config.read_text(encoding="utf-8"))["languages"]
    path = args.work / f"{args.part}_{len(codes)}.jsonl"
    if args.part == "experts":
        rows = tabulate_experts(measure(expert_tasks(codes, args.studies), path, args.cores, args.seconds))
    else:
        predictors = cached_predictors(
            args.work / f"predictors_{len(codes)}.npz", codes, args.results / "model.json"
        )
        if args.part == "tests":
            tasks = test_tasks(codes, predictors, args.studies)
            rows = tabulate_tests(len(codes), measure(tasks, path, args.cores, args.seconds))
        else:
            tasks = verdict_tasks(codes, args.results.resolve(), predictors, args.studies)
            rows = tabulate_verdicts(measure(tasks, path, args.cores, args.seconds))
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    write_table(RESULTS / f"power_{args.part}_{len(codes)}.csv", rows, columns)
    print(show(args.part, rows))


if __name__ == "__main__":
    main()

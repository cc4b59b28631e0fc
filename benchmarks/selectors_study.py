"""Selectors, compensations and their settings on one model: the tables and curves of benchmarks/README.md.

    snakemake --cores all --configfile benchmarks/selectors_study.yaml --directory results/selectors \\
        -- results/run_config.yaml results/gemma-3-270m/neurons/{en,fr,es,pt,bn,ur,hi,ar,zh}.h5
    python benchmarks/selectors_study.py run --results results/selectors --seconds 420
    python benchmarks/selectors_study.py tables

One process per language measures, all on the GPU where there is one; each finished model is a line of a file,
and another run goes on where one stopped. Losses are nats per token on held-out documents.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from selectors_cases import ASIDE, DENSE, Case, parts
from selectors_tables import tables

FOLDER = Path(__file__).resolve().parent / "results" / "selectors"
LANGUAGES = ("en", "fr", "es", "pt", "bn", "ur", "hi", "ar", "zh")


class Study:
    """One language of one model."""

    def __init__(self, results: Path, model: str, language: str) -> None:
        from babelscope.experts.partition import read_partition
        from babelscope.model.compute import Compute
        from babelscope.model.info import read_model_info
        from babelscope.model.load import load_model
        from babelscope.pruning.selectors import Evidence, ExpertFrequencies, read_neuron_norms
        from babelscope.recording.counts import read_activations
        from babelscope.recording.neurons import read_neurons
        from babelscope.study.configuration import read_yaml
        from babelscope.text.tokens import read_tokens

        os.chdir(results)
        folder = Path("results") / model
        definition = read_yaml(folder.parent / "run_config.yaml")["model_definitions"][model]
        info = read_model_info(folder / "model.json", {model: definition})
        self.load = lambda: load_model(info, Compute(dtype="float32", tokens_per_batch=8192))
        self.model, self.dense = self.load(), None
        self.corpus = read_tokens(folder / "tokens" / f"{language}.h5", model, language)
        partition = read_partition(folder / "experts.h5", info)
        asked = {"model": model, "language": language, "partition": partition}
        frequency = read_activations(folder / "activations" / f"{language}.h5", **asked).frequency
        neurons = {
            code: read_neurons(folder / "neurons" / f"{code}.h5", model=model, language=code)
            for code in LANGUAGES
        }
        own = neurons.pop(language)
        experts = ExpertFrequencies(frequency, partition.labels)
        self.evidence = Evidence(own, list(neurons.values()), read_neuron_norms(info), experts=experts)
        self._removals: dict[Any, Any] = {}
        files = {code: folder / "tokens" / f"{code}.h5" for code in LANGUAGES if code != language}
        self.read_others = lambda: [read_tokens(path, model, code) for code, path in files.items()]

    def measure(self, case: Case) -> dict[str, Any]:
        """Prune, compensate, evaluate."""
        from selectors_candidates import restored_attention

        from babelscope.pruning.heldout import evaluate_documents

        start = time.monotonic()
        row: dict[str, Any] = {}
        with self.model.restored(), restored_attention(self.model):
            if case.selector != "dense":
                row = self._prune(case)
            row["seconds"] = round(time.monotonic() - start, 1)
            losses = evaluate_documents(self.model, self.corpus, self.corpus.heldout_idx)
        nll = [round(float(value), 3) for value in losses.nll]
        return {
            "nll": losses.mean_nll,
            **row,
            "n_predicted": losses.n_predicted.tolist(),
            "documents_nll": nll,
        }

    def _prune(self, case: Case) -> dict[str, Any]:
        from babelscope.pruning.budgets import BUDGETS, select_neurons
        from babelscope.pruning.compensation import FitSettings, prune_and_compensate
        from babelscope.pruning.cut import prune
        from babelscope.pruning.second_order import choose_second_order

        profile, aside = self._documents(case)
        settings = FitSettings(case.first_token, case.relative, case.to_dense, case.ridge)
        evidence, budget = self.evidence, case.budget
        if case.budget == "equal_loss":
            budget, evidence = "equal_error", replace(evidence, removals=self._sensitive(profile, settings))
        elif "removals" in BUDGETS[case.budget].needs or (case.selector, case.compensation) == (
            "second_order",
            "none",
        ):
            evidence = replace(evidence, removals=self._removed(profile, settings))
        if case.selector == "second_order" and case.compensation == "ridge":
            sizes = BUDGETS[budget].sizes(evidence, case.share)
            neurons: Any = choose_second_order(sizes, case.selection_ridge, case.group)
        else:
            keep = select_neurons(evidence, case.selector, case.share, budget)
            neurons = [np.flatnonzero(row) for row in keep]
        if case.compensation == "none":
            prune(self.model.layers, neurons)
            return {}
        if case.compensation == "bias":
            self._with_bias(profile, neurons)
            return {}
        row: dict[str, Any] = {}
        fits: Any
        if case.attention:
            from selectors_candidates import prune_with_attention

            fits, row["attention"] = prune_with_attention(self.model, self.corpus, profile, neurons, settings)
        elif case.others:
            corpus, own, others = self._joined(profile, case.others)
            asked = {"settings": settings, "pooled_idx": others}
            fits = prune_and_compensate(self.model, corpus, own, neurons, **asked)
            row["weights"] = [fit.weight for fit in fits]
        else:
            fits = prune_and_compensate(self.model, self.corpus, profile, neurons, settings=settings)
        row |= {
            "ridges": [fit.ridge for fit in fits],
            "unexplained": [round(fit.unexplained, 3) for fit in fits],
            "sizes": [layer.d_ff for layer in self.model.layers],
        }
        if case.distil:
            row["distilled"] = self._distil(case, profile, aside)
        return row

    def _distil(self, case: Case, profile: np.ndarray, aside: np.ndarray) -> list[float]:
        from babelscope.pruning.distil import DistilSettings, distil

        self.dense = self.dense or self.load()
        asked = DistilSettings(case.epochs, case.learning_rate, case.distil)
        before = self.model.tokens_per_batch
        self.model.tokens_per_batch = self.dense.tokens_per_batch = 512
        held = aside if len(aside) else None
        try:
            with one_of(2):
                return distil(self.model, self.dense, self.corpus, profile, asked, held)
        finally:
            self.model.tokens_per_batch = before

    def _documents(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """Documents to fit to, and those that nothing is fitted to, for validation of the whole."""
        profile = self.corpus.profile_idx[: case.documents]
        number = np.arange(len(profile)) % ASIDE
        if not case.aside:
            return profile, profile[:0]
        return profile[number != ASIDE - 1], profile[number == ASIDE - 1]

    def _joined(self, profile: np.ndarray, n_others: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """One corpus of own documents and of those of each other language."""
        from babelscope.text.tokens import join_corpora

        taken = [corpus.take(corpus.profile_idx[:n_others]) for corpus in self.read_others()]
        joined = join_corpora([self.corpus.take(profile), *taken])
        return joined, np.arange(len(profile)), np.arange(len(profile), len(joined.heldout))

    def _sensitive(self, profile: np.ndarray, settings: Any) -> Any:

        from selectors_candidates import measure_sensitivity

        key = ("sensitivity", len(profile), settings.first_token, settings.relative)
        if key not in self._removals:
            self._removals[key], rises = measure_sensitivity(self.model, self.corpus, profile, settings, 0.7)
            print(f"{len(profile)} rises {np.round(rises, 4).tolist()}", flush=True)
        return self._removals[key]

    def _removed(self, profile: np.ndarray, settings: Any) -> Any:
        from babelscope.pruning.second_order import measure_removals

        key = (len(profile), settings.first_token, settings.relative)
        if key not in self._removals:
            self._removals[key] = measure_removals(self.model, self.corpus, profile, settings)
        return self._removals[key]

    def _with_bias(self, profile: np.ndarray, neurons: Sequence[np.ndarray]) -> None:
        import torch

        from babelscope.pruning.columns import COMPENSATIONS, apply_edits
        from babelscope.pruning.moments import gather_moments
        from babelscope.pruning.walk import LayerWalk

        with torch.inference_mode():
            walk = LayerWalk(self.model, self.corpus, profile)
            for layer, idx in zip(self.model.layers, neurons, strict=True):
                moments = gather_moments(walk).whole
                mean = (moments.total / moments.n_tokens).cpu().numpy()
                edit = COMPENSATIONS["bias"](moments, mean, idx, layer.down.weight)
                apply_edits([layer], [edit])
                walk.step(idx)


@contextmanager
def one_of(n_places: int) -> Iterator[None]:
    """Wait for one of the places that all processes share: training needs 15 GB of a GPU in each."""
    import torch

    for number in itertools.cycle(range(n_places)):
        with open(Path(tempfile.gettempdir()) / f"selectors_study_{number}", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.2)
                continue
            yield
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return


def work(args: argparse.Namespace) -> None:
    """Measure one language until the time is over."""
    import torch

    torch.set_num_threads(args.threads)
    file = args.out / f"{args.model}_{args.worker}.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["key"] for line in file.read_text().splitlines()} if file.exists() else set()
    study = Study(args.results, args.model, args.worker)
    every = parts()
    asked = {name: every[name] for name in args.parts or every}  # in the order in which they are named
    for part, cases in [("dense", [DENSE]), *asked.items()]:
        for case in cases:
            if case.key in done:
                continue
            if time.time() > args.until:
                print(f"{args.worker}: time is over at {part}", flush=True)
                return
            try:
                found = study.measure(case)
            except (torch.OutOfMemoryError, torch.linalg.LinAlgError) as error:
                print(f"{args.worker} {part} {case.key}: {error}", flush=True)
                continue
            row = {"key": case.key, "part": part, "language": args.worker, **asdict(case), **found}
            with file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            done.add(case.key)
            print(
                f"{args.worker} {part:10s} {found['nll']:.3f} {found['seconds']:6.1f} s {case.key}",
                flush=True,
            )


def run(args: argparse.Namespace) -> None:
    """One process per language."""
    until = time.time() + args.seconds
    threads = max(1, (os.cpu_count() or 2) // min(args.jobs, len(args.languages)))
    waiting, running = list(args.languages), []
    while waiting or running:
        while waiting and len(running) < args.jobs:
            command = [sys.executable, __file__, "run", "--worker", waiting.pop(0), "--until", str(until)]
            command += [
                "--threads",
                str(threads),
                "--model",
                args.model,
                "--results",
                str(args.results.resolve()),
            ]
            command += ["--out", str(args.out.resolve()), "--parts", *args.parts]
            running.append(subprocess.Popen(command))
        running = [process for process in running if process.poll() is None]
        if time.time() > until + 25:  # a case that takes long: it is measured by the next run
            waiting = []
            for process in running:
                process.terminate()
        time.sleep(0.5)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "tables"])
    parser.add_argument("--results", type=Path, default=Path("results/selectors"), help="folder of the study")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--parts", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--jobs", type=int, default=9, help="languages at a time")
    parser.add_argument("--worker", default="")
    parser.add_argument("--until", type=float, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what == "tables":
        tables(args.out, args.model)
    elif args.worker:
        work(args)
    else:
        run(args)


if __name__ == "__main__":
    main()

"""One pruned model of the selectors' study: pruned, compensated, measured on held-out documents."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from selectors_cases import ASIDE, Case

LANGUAGES = ("en", "fr", "es", "pt", "bn", "ur", "hi", "ar", "zh")


class Shared:
    """What all languages of one model have in common."""

    def __init__(self, results: Path, model: str) -> None:
        from babelscope.model.compute import Compute
        from babelscope.model.info import read_model_info
        from babelscope.model.load import load_model
        from babelscope.study.configuration import read_yaml

        os.chdir(results)
        self.name, self.folder = model, Path("results") / model
        definition = read_yaml(self.folder.parent / "run_config.yaml")["model_definitions"][model]
        self.info = read_model_info(self.folder / "model.json", {model: definition})
        self.load = lambda: load_model(self.info, Compute(dtype="float32", tokens_per_batch=8192))
        self.model = self.load()
        self.found: dict[Any, Any] = {}  # what is measured on pooled documents

    @cached_property
    def dense(self) -> Any:
        """A second copy, for distillation."""
        return self.load()

    @cached_property
    def norms(self) -> Any:
        """Norms of all neurons' weights."""
        from babelscope.pruning.selectors import read_neuron_norms

        return read_neuron_norms(self.info)

    def read_tokens(self, language: str) -> Any:
        """Documents of one language."""
        from babelscope.text.tokens import read_tokens

        return read_tokens(self.folder / "tokens" / f"{language}.h5", self.name, language)


class Study:
    """One language of one model."""

    def __init__(self, shared: Shared, language: str) -> None:
        self.shared, self.language, self.model = shared, language, shared.model
        self.corpus = shared.read_tokens(language)
        self._found: dict[Any, Any] = {}

    def can_measure(self, case: Case) -> bool:
        """Whether what the case looks at has been recorded."""
        return all(path.exists() for path in self._files(self._needs(case)))

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
        evidence, budget = self._evidence(case, profile, settings), case.budget
        if case.selector == "second_order" and case.compensation == "ridge":
            from selectors_candidates import CANDIDATE_BUDGETS

            sizes = (CANDIDATE_BUDGETS.get(budget) or BUDGETS[budget].sizes)(evidence, case.share)
            neurons: Any = choose_second_order(sizes, case.selection_ridge, case.group)
            if case.metric:
                from selectors_candidates import choose_by_metrics

                metrics = self._metrics(case, settings)
                neurons = choose_by_metrics(sizes, metrics, case.selection_ridge, case.group)
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
            "unexplained": [fit.unexplained and round(fit.unexplained, 3) for fit in fits],
            "sizes": [layer.d_ff for layer in self.model.layers],
        }
        if case.distil:
            row["distilled"] = self._distil(case, profile, aside)
        return row

    def _needs(self, case: Case) -> set[str]:
        """Attributes of ``Evidence`` that a case looks at."""
        from babelscope.pruning.budgets import BUDGETS
        from babelscope.pruning.selectors import SELECTORS

        if case.selector == "dense":
            return set()
        chooses_itself = (case.selector, case.compensation) == ("second_order", "ridge")
        needs = set() if chooses_itself else set(SELECTORS[case.selector].needs)
        return needs | set(BUDGETS[case.budget].needs if case.budget in BUDGETS else ["norms", "removals"])

    def _files(self, needs: set[str]) -> list[Path]:
        """What recording has to have made for such a case."""
        languages = [self.language] if "own" in needs else []
        if "others" in needs:
            languages += [code for code in LANGUAGES if code != self.language]
        files = [self.shared.folder / "neurons" / f"{code}.h5" for code in languages]
        if "experts" in needs:
            files += [self.shared.folder / "experts.h5", self._activations]
        return files

    @property
    def _activations(self) -> Path:
        return self.shared.folder / "activations" / f"{self.language}.h5"

    def _evidence(self, case: Case, profile: np.ndarray, settings: Any) -> Any:
        """What a case looks at, and nothing else."""
        from selectors_candidates import CANDIDATE_BUDGETS

        from babelscope.experts.partition import read_partition
        from babelscope.pruning.selectors import Evidence, ExpertFrequencies
        from babelscope.recording.counts import read_activations
        from babelscope.recording.neurons import read_neurons

        needs, shared = self._needs(case), self.shared
        own, others = "own" in needs, "others" in needs
        neurons: list[Any] = [
            read_neurons(path, model=shared.name, language=path.stem)
            for path in self._files({"own", "others"} & needs)
        ]
        found: Any = Evidence(neurons[0] if own else None, neurons[1:] if others else [], shared.norms)  # type: ignore[arg-type]
        if "experts" in needs:
            partition = read_partition(shared.folder / "experts.h5", shared.info)
            asked = {"model": shared.name, "language": self.language, "partition": partition}
            frequency = read_activations(self._activations, **asked).frequency
            found = replace(found, experts=ExpertFrequencies(frequency, partition.labels))
        if "removals" in needs:
            measures = {"equal_loss": self._sensitive, "half_error": self._removed}
            if case.budget in CANDIDATE_BUDGETS and case.budget not in measures:
                measured = self._costs(case, profile, settings)
            else:
                measured = measures.get(case.budget, self._removed)(profile, settings)
            found = replace(found, removals=measured)
        return found

    def _distil(self, case: Case, profile: np.ndarray, aside: np.ndarray) -> list[float]:
        from babelscope.pruning.distil import DistilSettings, distil

        dense = self.shared.dense
        asked = DistilSettings(case.epochs, case.learning_rate, loss=case.distil)
        with one_of(2):
            return distil(self.model, dense, self.corpus, profile, aside, asked)

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

        others = (self.shared.read_tokens(code) for code in LANGUAGES if code != self.language)
        taken = [corpus.take(corpus.profile_idx[:n_others]) for corpus in others]
        joined = join_corpora([self.corpus.take(profile), *taken])
        return joined, np.arange(len(profile)), np.arange(len(profile), len(joined.heldout))

    def _reference(self, case: Case, profile: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """A corpus, and which of its documents gradients are taken of, and layers' costs measured on."""
        from babelscope.pruning.loss_budgets import N_DOCUMENTS, spread_evenly
        from babelscope.text.tokens import join_corpora

        if not case.pool:
            return self.corpus, self.corpus.profile_idx[:N_DOCUMENTS], profile
        codes = case.pool.split("+")
        corpora = [self.shared.read_tokens(code) for code in codes]
        n_each = -(-case.pool_documents // len(codes))
        joined = join_corpora([corpus.take(corpus.profile_idx[:n_each]) for corpus in corpora])
        every = np.arange(len(joined.heldout))
        return joined, every[spread_evenly(len(every), N_DOCUMENTS)], every

    def _metrics(self, case: Case, settings: Any) -> Any:
        from babelscope.pruning.loss_budgets import output_metrics

        key = ("metrics", case.pool, case.pool_documents, settings.first_token, settings.relative)
        found = self.shared.found if case.pool else self._found
        if key not in found:
            corpus, documents, _ = self._reference(case, self.corpus.profile_idx)
            found[key] = output_metrics(self.model, corpus, documents, settings)
        return found[key]

    def _costs(self, case: Case, profile: np.ndarray, settings: Any) -> Any:
        from babelscope.pruning.loss_budgets import measure_costs
        from babelscope.pruning.selectors import Removals

        documents = case.pool_documents if case.pool else len(profile)
        key = ("costs", case.pool, documents, settings.first_token, settings.relative)
        found = self.shared.found if case.pool else self._found
        if key not in found:
            corpus, _, measured = self._reference(case, profile)
            asked = (self.model, corpus, measured, settings, self._metrics(case, settings))
            costs = measure_costs(*asked)  # in the order of elimination
            order = np.broadcast_to(np.arange(costs.shape[1], dtype=np.float64), costs.shape)
            found[key] = Removals(order, costs)
        return found[key]

    def _sensitive(self, profile: np.ndarray, settings: Any) -> Any:
        from selectors_candidates import measure_sensitivity

        key = ("sensitivity", len(profile), settings.first_token, settings.relative)
        if key not in self._found:
            self._found[key], rises = measure_sensitivity(self.model, self.corpus, profile, settings, 0.7)
            print(f"{len(profile)} rises {np.round(rises, 4).tolist()}", flush=True)
        return self._found[key]

    def _removed(self, profile: np.ndarray, settings: Any) -> Any:
        from babelscope.pruning.second_order import measure_removals

        key = (len(profile), settings.first_token, settings.relative)
        if key not in self._found:
            self._found[key] = measure_removals(self.model, self.corpus, profile, settings)
        return self._found[key]

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

"""Does better clustering change what the study finds? Four ways to cut experts, three seeds each.

    python benchmarks/clustering_study.py                               # everything, an hour on two cores
    python benchmarks/clustering_study.py --steps record --languages en # one piece
    python benchmarks/clustering_study.py --steps tabulate              # table and CSV from what is there

Every piece is kept in ``--work`` and is not computed again. The model runs on a GPU where there is one. Runs
where the default configuration was run (``make run``): weights and tokens are read from
``results/gemma-3-270m``.

``coactivation`` groups neurons whose activations correlate over a sample of profile tokens of all languages:
balanced k-means on their standardised activations instead of their weights.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from babelscope.comparison.sharing import count_sharing
from babelscope.comparison.similarity import compare_languages, stack_frequencies
from babelscope.experts.clustering import cluster_neurons, partition_sse
from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo, read_model_info
from babelscope.model.load import load_model
from babelscope.model.weights import read_rows
from babelscope.pruning.choice import keep_frequent
from babelscope.pruning.cut import kept_neurons, prune
from babelscope.pruning.heldout import evaluate_documents
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.record import RecordingSettings, make_variants, record_activations
from babelscope.text.batches import make_batches
from babelscope.text.tokens import (
    TokenizedCorpus,
    read_tokens,
)

ROOT = Path(__file__).resolve().parents[1]
CSV = ROOT / "benchmarks/results/clustering_study.csv"
RESULTS = Path("results/gemma-3-270m")
LANGUAGES = ("en", "fr", "es", "pt", "bn", "ur", "hi", "ar", "zh")
EVALUATED = ("en", "es", "hi", "zh")
METHODS = ("balanced_kmeans", "malinen_franti", "random", "coactivation")
SEEDS = (0, 1, 2)
STEPS = ("partitions", "record", "evaluate", "tabulate")
NAMES = tuple(f"{method}_{seed}" for method in METHODS for seed in SEEDS)
N_EXPERTS = 256
TOP_FRACTION = 0.09765625
THRESHOLD = 0.05
# Experts kept where all partitions keep as many, and so as many parameters.
BUDGET = 0.65
# Of each language, for coactivation; every seed gets a third of their tokens.
SAMPLED_DOCUMENTS = 20
TOKENS_PER_BATCH = 8192 if torch.cuda.is_available() else 1024

Row = tuple[str, str, str, int, float]


def tokens_of(info: ModelInfo, language: str) -> TokenizedCorpus:
    return read_tokens(RESULTS / f"tokens/{language}.h5", info.name, language)


def sample_activations(info: ModelInfo) -> Iterator[list[np.ndarray]]:
    """Yield for each seed: for each layer float32 (n_neurons, n_tokens), tokens of all languages."""
    model = load_model(info)
    seen: list[list[np.ndarray]] = [[] for _ in model.layers]
    inputs: dict[int, torch.Tensor] = {}
    with model.activations(lambda layer, rows: inputs.update({layer: rows})):
        for language in LANGUAGES:
            corpus = tokens_of(info, language)
            for batch in make_batches(corpus, corpus.profile_idx[:SAMPLED_DOCUMENTS], TOKENS_PER_BATCH):
                model.hidden(batch.token_ids)
                for number, parts in enumerate(seen):
                    parts.append(inputs[number].cpu().numpy()[batch.real_mask().ravel()])
    stacked = [np.concatenate(parts) for parts in seen]
    for part in np.array_split(np.random.default_rng(0).permutation(len(stacked[0])), len(SEEDS)):
        yield [layer[part].T for layer in stacked]


def standardise_neurons(activations: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and norm 1 (a constant row: 0), so that squared distances are 2 - 2 correlation."""
    centred = activations - activations.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(norm > 0, norm, 1)


def make_partitions(info: ModelInfo, work: Path) -> None:
    file = work / "partitions.npz"
    if file.exists():
        return
    labels: dict[str, np.ndarray] = {}
    rows = [read_rows(info.path, info.family, layer) for layer in range(info.n_layers)]
    for method in METHODS[:3]:
        for seed in SEEDS:
            cut = [cluster_neurons(layer, N_EXPERTS, method, seed).labels for layer in rows]
            labels[f"{method}_{seed}"] = np.stack(cut)
            print(f"{method}, seed {seed}: cut", flush=True)
    for seed, activations in zip(SEEDS, sample_activations(info), strict=True):
        cut = [cluster_neurons(standardise_neurons(a), N_EXPERTS, seed=seed).labels for a in activations]
        labels[f"coactivation_{seed}"] = np.stack(cut)
        print(f"coactivation, seed {seed}: cut, from {activations[0].shape[1]} tokens", flush=True)
    sse = {
        f"sse_{name}": np.array([partition_sse(x, y) for x, y in zip(rows, cut, strict=True)])
        for name, cut in labels.items()
    }
    np.savez(file, **labels, **sse)


def measure_coactivation(info: ModelInfo, work: Path) -> None:
    """Mean correlation between the activations of two neurons of one expert, float64 (n_layers,) a partition.

    Tokens of one seed's sample; partitions made from activations are judged by those of the next seed.
    """
    file = work / "correlation.npz"
    if file.exists():
        return
    partitions = read_partitions(work)
    samples = list(sample_activations(info))
    correlation = {name: np.zeros(info.n_layers) for name in NAMES}
    for layer in range(info.n_layers):
        rows = [standardise_neurons(sample[layer]) for sample in samples]
        for name in NAMES:
            judge = rows[(split_name(name)[1] + 1) % len(SEEDS)]
            labels, sizes = partitions[name].labels[layer], partitions[name].sizes[layer]
            member = labels == np.arange(N_EXPERTS)[:, None]
            sums = (member.astype(np.float32) @ judge).astype(np.float64)
            pairs = np.vdot(sums, sums) - np.vdot(judge, judge)
            correlation[name][layer] = pairs / (sizes * (sizes - 1)).sum()
    np.savez(file, **correlation)


def read_partitions(work: Path) -> dict[str, ExpertPartition]:
    with np.load(work / "partitions.npz") as stored:
        return {name: ExpertPartition(stored[name], N_EXPERTS) for name in NAMES}


def record(info: ModelInfo, work: Path, language: str) -> None:
    """Record one language with all partitions in one forward pass."""
    file = work / f"counts_{language}.npz"
    if file.exists():
        return
    model = load_model(info, Compute(tokens_per_batch=TOKENS_PER_BATCH))
    corpus = tokens_of(info, language)
    variants = make_variants(read_partitions(work), TOP_FRACTION)
    recording = record_activations(model, corpus, corpus.profile_idx, variants, RecordingSettings())
    counts = {name: count.n_active.sum(axis=0) for name, count in recording.counts.items()}
    any_count = next(iter(recording.counts.values()))
    np.savez(file, n_tokens=any_count.n_tokens.sum(), top_k=any_count.top_k, **counts)
    print(f"{language}: recorded", flush=True)


def read_counts(work: Path, language: str, name: str) -> ActivationCounts:
    with np.load(work / f"counts_{language}.npz") as stored:
        n_tokens = np.array([int(stored["n_tokens"])])
        return ActivationCounts(stored[name][None], n_tokens, int(stored["top_k"]))


def keep_most_frequent(frequency: np.ndarray, n_kept: int) -> np.ndarray:
    """The ``n_kept`` most frequent experts of all layers together, bool like ``frequency``."""
    keep = np.zeros(frequency.size, dtype=bool)
    keep[np.argsort(-frequency.ravel(), kind="stable")[:n_kept]] = True
    return keep.reshape(frequency.shape)


def evaluate(info: ModelInfo, work: Path, language: str) -> None:
    """Held-out NLL of the dense model and of every partition's pruned models, each kept in a file."""
    corpus = tokens_of(info, language)
    model = load_model(info, Compute(tokens_per_batch=TOKENS_PER_BATCH))
    partitions = read_partitions(work)
    frequency = {name: read_counts(work, language, name).frequency for name in NAMES}
    choices = {("dense", NAMES[0]): np.ones_like(frequency[NAMES[0]], dtype=bool)}
    for name, found in frequency.items():
        choices["threshold", name] = keep_frequent(found, THRESHOLD)
        choices["budget", name] = keep_most_frequent(found, round(BUDGET * found.size))
    for (kind, name), keep in choices.items():
        file = work / f"nll_{language}_{kind}_{name}.txt"
        if not file.exists():
            with model.restored():
                prune(model.layers, kept_neurons(keep, partitions[name]))
                losses = evaluate_documents(model, corpus, corpus.heldout_idx)
            file.write_text(f"{losses.mean_nll} {keep.mean()}\n", encoding="utf-8")
            print(f"{language}, {kind}, {name}: {losses.mean_nll:.3f} nats", flush=True)


def split_name(name: str) -> tuple[str, int]:
    method, _, seed = name.rpartition("_")
    return method, int(seed)


def mean_agreement(vectors: dict[str, np.ndarray], name: str, other: str) -> float:
    """Mean correlation of one partition's values with those of another method, all seeds but its own."""
    others = [v for key, v in vectors.items() if split_name(key)[0] == other and key != name]
    return float(np.mean([np.corrcoef(vectors[name], v)[0, 1] for v in others]))


def tabulate_structure(work: Path) -> list[Row]:
    """Rows about similarity and sharing of the languages that were recorded."""
    languages = [language for language in LANGUAGES if (work / f"counts_{language}.npz").exists()]
    table: list[Row] = []
    off = ~np.eye(len(languages), dtype=bool)
    values: dict[str, dict[str, np.ndarray]] = {"euclidean": {}, "kl": {}, "pearson": {}}
    nearest = {}
    with np.load(work / "partitions.npz") as stored:
        random_sse = np.mean([stored[f"sse_random_{seed}"] for seed in SEEDS], axis=0)
        for name in NAMES:
            part = 1 - stored[f"sse_{name}"].sum() / random_sse.sum()
            table.append(("sse_reduction", "all", *split_name(name), float(part)))
    with np.load(work / "correlation.npz") as stored:
        for name in NAMES:
            table.append(("correlation_within", "all", *split_name(name), float(stored[name].mean())))
    for name in NAMES:
        frequency, n_tokens = stack_frequencies([read_counts(work, lang, name) for lang in languages])
        similarity = compare_languages(frequency, n_tokens)
        for measure, found in values.items():
            found[name] = similarity[measure][off]
            table.append((f"{measure}_mean", "all", *split_name(name), float(found[name].mean())))
        nearest[name] = np.where(off, similarity["pearson"], -np.inf).argmax(axis=1)
        sharing = count_sharing(frequency, THRESHOLD)
        share = sharing.n_experts_by_languages / sharing.n_experts_by_languages.sum()
        for column, m in (("shared_by_all", -1), ("shared_by_one", 1), ("shared_by_none", 0)):
            table.append((column, "all", *split_name(name), float(share[m])))
        for language, high in zip(languages, sharing.high, strict=True):
            table.append(("proportion_high", language, *split_name(name), float(high.mean())))
    for name in NAMES:
        for measure, found in values.items():
            agreement = mean_agreement(found, name, "balanced_kmeans")
            table.append((f"{measure}_agreement", "all", *split_name(name), agreement))
        same = [(nearest[name] == nearest[key]).sum() for key in NAMES[: len(SEEDS)] if key != name]
        table.append(("same_nearest_language", "all", *split_name(name), float(np.mean(same))))
    return table


def tabulate_nll(work: Path) -> list[Row]:
    """Rows about held-out loss, for what was evaluated."""
    table: list[Row] = []
    for language in LANGUAGES:
        for file in sorted(work.glob(f"nll_{language}_*.txt")):
            kind, _, name = file.stem.removeprefix(f"nll_{language}_").partition("_")
            nll, kept = map(float, file.read_text(encoding="utf-8").split())
            method, seed = split_name(name) if kind != "dense" else ("dense", 0)
            table.append((f"nll_{kind}", language, method, seed, nll))
            if kind == "threshold":
                table.append(("kept_threshold", language, method, seed, kept))
    return table


def tabulate(work: Path) -> None:
    table = tabulate_structure(work) + tabulate_nll(work)
    CSV.parent.mkdir(parents=True, exist_ok=True)
    with open(CSV, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("measure", "language", "method", "seed", "value"))
        writer.writerows((*row[:4], f"{row[4]:.6g}") for row in table)
    print("| measure | " + " | ".join(METHODS) + " |\n|---|" + "---:|" * len(METHODS))
    for measure, language in dict.fromkeys((row[0], row[1]) for row in table):
        cells = []
        for method in METHODS:
            found = [row[4] for row in table if row[:3] == (measure, language, method)]
            cells.append(f"{np.mean(found):.4g} ({min(found):.4g} to {max(found):.4g})" if found else "")
        if any(cells):
            print(f"| {measure}, {language} | " + " | ".join(cells) + " |")


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, help="all, and four to evaluate")
    parser.add_argument("--work", type=Path, default=Path("results/clustering_study"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    info = read_model_info(RESULTS / "model.json")
    if "partitions" in arguments.steps:
        make_partitions(info, arguments.work)
        measure_coactivation(info, arguments.work)
    if "record" in arguments.steps:
        for language in arguments.languages or LANGUAGES:
            record(info, arguments.work, language)
    if "evaluate" in arguments.steps:
        for language in arguments.languages or EVALUATED:
            evaluate(info, arguments.work, language)
    if "tabulate" in arguments.steps:
        tabulate(arguments.work)


if __name__ == "__main__":
    main()

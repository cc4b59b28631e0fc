"""Planted neurons that fire more in one language or genus: how many are found, and how many wrongly."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from planted_tests import LEVEL, Row

from babelscope.evidence.specificity import index_experts
from babelscope.experts.clustering import cluster_neurons
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language, read_languages

METHODS = ("balanced_kmeans", "random")
RATIOS = (1.2, 1.5, 2.0, 3.0, 4.0)
TOKENS = (1_000, 5_000, 20_000)
N_NEURONS, N_EXPERTS, N_BLOCKS, TOP_K = 2048, 256, 30, 25
N_PLANTED = 128  # neurons of each language and of each genus


def planted_targets(languages: Sequence[Language]) -> dict[str, list[int]]:
    """Languages, then genera of two or more, with the languages that each is made of."""
    genera: dict[str, list[int]] = {}
    for idx, row in enumerate(languages):
        genera.setdefault(row.genus, []).append(idx)
    return {row.code: [idx] for idx, row in enumerate(languages)} | {
        g: m for g, m in genera.items() if len(m) > 1
    }


def plant(
    rng: np.random.Generator, languages: Sequence[Language], ratio: float, n_tokens: int, method: str
) -> tuple[list[ActivationCounts], np.ndarray, np.ndarray, np.ndarray]:
    """Counts of one layer of 256 experts of 8 neurons; 128 neurons per language and per genus are planted.

    The row of a planted neuron points in its target's direction, in noise; so clustering can find it.

    Parameters
    ----------
    ratio : how much more often a planted neuron fires in its target. n_tokens : per language, in 30 blocks.
    method : how neurons are grouped, a method of ``cluster_neurons``.

    Returns
    -------
    counts : of every language. labels : expert of each neuron, (2048,). target : of each neuron, -1 for none;
    languages first, then genera. rates : true share of activity, (n_languages, 256).
    """
    targets = planted_targets(languages)
    target = np.full(N_NEURONS, -1)
    target[: N_PLANTED * len(targets)] = np.repeat(np.arange(len(targets)), N_PLANTED)
    rows = rng.normal(0, 1, (N_NEURONS, 32))
    directions = rng.normal(0, 1, (len(targets), 32))
    rows[target >= 0] += 2 * directions[target[target >= 0]]
    seed = int(rng.integers(2**31))
    labels = cluster_neurons(rows.astype(np.float32), N_EXPERTS, method=method, seed=seed).labels
    base, raised = np.exp(rng.normal(0, 0.7, N_NEURONS)), np.ones((len(languages), N_NEURONS))
    for number, members in enumerate(targets.values()):
        raised[np.ix_(members, np.flatnonzero(target == number))] = ratio
    rates = np.stack([np.bincount(labels, base * row, minlength=N_EXPERTS) for row in raised])
    rates /= rates.sum(axis=1, keepdims=True)
    per_block, counts = max(1, n_tokens // N_BLOCKS), []
    for row in rates:
        blocks = np.exp(rng.normal(0, 0.1, (N_BLOCKS, N_EXPERTS))) * row
        blocks /= blocks.sum(axis=1, keepdims=True)
        n_active = np.stack([rng.multinomial(TOP_K * per_block, p) for p in blocks])
        counts.append(ActivationCounts(n_active[:, None], np.full(N_BLOCKS, per_block), TOP_K))
    return counts, labels, target, rates


def find_planted(
    codes: Sequence[str], method: str, ratio: float, n_tokens: int, study: int
) -> dict[str, int]:
    """Planted neurons of one study, how many lie in an expert that is named for their target, and so on."""
    table = read_languages()
    languages = [table[code] for code in codes]
    targets, n = planted_targets(languages), len(languages)
    rng = np.random.default_rng([2, study, int(10 * ratio), n_tokens, len(method)])
    counts, labels, target, rates = plant(rng, languages, ratio, n_tokens, method)
    index = index_experts(counts, languages, 0.05)
    # an expert is named for a language, or for a genus, that is above all others
    named = np.where(index.q_value <= LEVEL, index.top, -1)
    names = list(targets)
    of_genus = np.array(
        [
            names.index(group) if group in targets and q <= LEVEL else -1
            for group, q in zip(index.group_above, index.group_q_value, strict=True)
        ]
    )
    by_class = np.array([names.index(group) if group in names[n:] else -1 for group in index.group])
    # named for a genus although a language outside is as active in truth as one inside
    wrong_genus = sum(
        rates[targets[names[g]], e].min() <= np.delete(rates[:, e], targets[names[g]]).max()
        for e, g in enumerate(of_genus)
        if g >= 0
    )
    own, kin = (target >= 0) & (target < n), target >= n
    hit, in_genus = named[labels], of_genus[labels]
    return {
        "planted": int(own.sum()),
        "found": int((own & (hit == target)).sum()),
        "neurons_in_named": int((hit >= 0).sum()),
        "experts_named": int((named >= 0).sum()),
        "false": int(((named >= 0) & (rates.argmax(axis=0) != named)).sum()),
        "genus_planted": int(kin.sum()),
        "genus_found": int((kin & (in_genus == target)).sum()),
        "genus_by_class": int((kin & (by_class[labels] == target)).sum()),
        "genus_experts_named": int((of_genus >= 0).sum()),
        "genus_false": int(wrong_genus),
    }


def expert_tasks(codes: Sequence[str], n_studies: int) -> dict[str, Any]:
    """Calls of ``find_planted`` by key: grouping, ratio, tokens and number of the study."""
    cases = itertools.product(METHODS, RATIOS, TOKENS)
    return {
        f"{method}|{ratio:g}|{n_tokens}|{study}": partial(
            find_planted, list(codes), method, ratio, n_tokens, study
        )
        for method, ratio, n_tokens in cases
        for study in range(n_studies)
    }


def tabulate_experts(found: Mapping[str, Any]) -> list[Row]:
    """Recall and false discoveries by grouping, ratio and tokens."""
    rows: list[Row] = []
    for method, ratio, n_tokens in itertools.product(METHODS, RATIOS, TOKENS):
        parts = [part for key, part in found.items() if key.startswith(f"{method}|{ratio:g}|{n_tokens}|")]
        if not parts:
            continue
        total = {name: sum(part[name] for part in parts) for name in parts[0]}
        rows.append(
            {"grouping": method, "ratio": ratio, "n_tokens": n_tokens, "studies": len(parts)}
            | {
                "recall": total["found"] / total["planted"],
                "experts_named": total["experts_named"] / len(parts),
                "false_discovery_rate": total["false"] / max(total["experts_named"], 1),
                "planted_share_of_named": total["found"] / max(total["neurons_in_named"], 1),
                "genus_recall": total["genus_found"] / total["genus_planted"],
                "genus_recall_by_class": total["genus_by_class"] / total["genus_planted"],
                "genus_experts_named": total["genus_experts_named"] / len(parts),
                "genus_false_discovery_rate": total["genus_false"] / max(total["genus_experts_named"], 1),
            }
        )
    return rows

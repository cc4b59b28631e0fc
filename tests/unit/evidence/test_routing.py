"""The table of routing: hand-computed entropies and overlaps, and its test of overlaps on planted choices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from babelscope.evidence.draws import shuffle_languages
from babelscope.evidence.figures.routing import plot_routing, plot_routing_of_models
from babelscope.evidence.routing import (
    MEANINGS,
    ROUTING_COLUMNS,
    SUMMARY_COLUMNS,
    RoutingSettings,
    common_choices,
    overlap,
    summarise_routing,
    tabulate_routing,
)
from babelscope.evidence.routing_sentences import compare_routing_of_sentences
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError

SETTINGS = RoutingSettings(threshold=0.05, n_replicates=200, seed=0)


def routers(per_block: np.ndarray, n_blocks: int = 4, sizes=(0, 4), top_k: int = 2) -> ActivationCounts:
    """The same choices in every block; per_block (layer, expert), the layers with experts alone."""
    n_active = np.repeat(per_block[None].astype(np.int64), n_blocks, axis=0)
    n_tokens = n_active.sum(axis=(1, 2)) // (top_k * sum(n > 0 for n in sizes))
    return ActivationCounts(
        n_active,
        n_tokens,
        top_k,
        tuple(sizes),
        gate_weight=n_active * 0.5,
        router_entropy=np.repeat(n_tokens[:, None] * 0.25, n_active.shape[1], axis=1),
    )


def random_routers(seed: int, preferences: np.ndarray, n_blocks: int = 20) -> ActivationCounts:
    """Two of eight experts for each of thirty tokens of a block, drawn by preference."""
    rng = np.random.default_rng(seed)
    n_active = np.zeros((n_blocks, 1, len(preferences)), dtype=np.int64)
    for block in n_active:
        for _ in range(30):
            block[0, rng.choice(len(preferences), 2, replace=False, p=preferences / preferences.sum())] += 1
    return ActivationCounts(n_active, np.full(n_blocks, 30), 2, (len(preferences),))


def row(rows, **wanted):
    found = [r for r in rows if all(r[name] == value for name, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_values_are_those_computed_by_hand_and_layers_are_the_models():
    even, odd = routers(np.array([[10, 10, 10, 10]])), routers(np.array([[20, 20, 0, 0]]))
    rows = tabulate_routing([even, odd], ["en", "fr"], SETTINGS)
    assert {r["layer"] for r in rows} == {1} and all(set(r) == set(ROUTING_COLUMNS) for r in rows)
    assert {r["statistic"] for r in rows} == set(MEANINGS) - {"translations"}
    assert row(rows, language="en", statistic="load_entropy")["value"] == pytest.approx(math.log(4))
    assert row(rows, language="fr", statistic="load_entropy")["value"] == pytest.approx(math.log(2))
    assert row(rows, language="fr", statistic="used_experts")["value"] == pytest.approx(0.5)
    assert row(rows, language="fr", statistic="largest_load")["value"] == pytest.approx(2)
    assert row(rows, language="en", statistic="router_entropy")["value"] == pytest.approx(0.25)
    assert row(rows, language="fr", statistic="gate_correlation")["value"] == pytest.approx(1)
    assert row(rows, statistic="shared_experts")["value"] == 2
    assert row(rows, statistic="specific_experts")["value"] == 2
    assert row(rows, statistic="dead_experts")["value"] == 0


def test_models_are_summarised_by_layer_and_drawn():
    even, odd = routers(np.array([[10, 10, 10, 10]])), routers(np.array([[20, 20, 0, 0]]))
    rows = tabulate_routing([even, odd], ["en", "fr"], SETTINGS)
    text = [{name: "" if value is None else str(value) for name, value in r.items()} for r in rows]
    (summary,) = summarise_routing({"tiny": text})
    assert set(summary) == set(SUMMARY_COLUMNS) and summary["layer"] == 1
    assert summary["used_experts"] == pytest.approx(0.75) and summary["common_choices"] == pytest.approx(0.5)
    assert summary["languages_apart"] > 0.1
    assert [axis.get_xlabel() for axis in plot_routing(text, "tiny").axes] == ["layer"] * 3
    labels = [line.get_label() for line in plot_routing_of_models({"a": text, "b": text}).axes[0].lines]
    assert {"a", "b"} < set(labels)


def test_blocks_without_tokens_change_nothing():
    one = random_routers(0, np.ones(8))
    other = random_routers(1, np.ones(8))
    empty = ActivationCounts(
        np.concatenate([one.n_active, np.zeros_like(one.n_active[:5])]),
        np.concatenate([one.n_tokens, np.zeros(5, dtype=np.int64)]),
        2,
        (8,),
    )
    full, padded = (tabulate_routing([c, other], ["en", "fr"], SETTINGS) for c in (one, empty))
    for a, b in zip(full, padded, strict=True):
        assert a["value"] == pytest.approx(b["value"])


def test_overlap_counts_the_most_frequent_quarter_and_ties_go_to_the_lower_expert():
    first = np.array([9, 8, 0, 0, 0, 0, 0, 0])
    assert overlap(first, np.array([9, 0, 8, 0, 0, 0, 0, 0])) == 0.5
    assert overlap(first, np.zeros(8)) == 1
    assert overlap(first, first[::-1]) == 0
    assert common_choices(first, np.array([1, 1, 0, 0, 0, 0, 0, 2])) == pytest.approx(0.5)


def test_languages_with_experts_of_their_own_overlap_less_than_blocks_dealt_out_at_random():
    preferences = np.ones(8)
    preferences[:2] = 6
    counts = [random_routers(0, preferences), random_routers(1, preferences[::-1])]
    rows = tabulate_routing(counts, ["en", "fr"], SETTINGS)
    found = row(rows, statistic="common_choices")
    assert found["high"] < 0.7 and found["null"] > 0.9 and found["p_value"] < 0.01
    assert row(rows, statistic="overlap")["value"] == 0


def test_p_values_of_languages_that_are_dealt_out_are_rarely_small():
    preferences = np.linspace(1, 4, 8)
    counts = [random_routers(0, preferences, 40), random_routers(1, preferences[::-1], 40)]
    p_values = []
    for seed in range(60):
        dealt = shuffle_languages(counts, seed)
        rows = tabulate_routing(dealt, ["en", "fr"], RoutingSettings(0.05, 100, seed))
        p_values.append(row(rows, statistic="common_choices")["p_value"])
    # three of sixty at the level of 0.05; more than eight would be a chance of one in a hundred
    assert sum(p <= 0.05 for p in p_values) <= 8


def parallel_routers(languages: int, kept: float, n: int = 40, seed: int = 0) -> dict[str, ActivationCounts]:
    """Sentences of four of sixteen experts each; a translation has them, too, with probability ``kept``.

    The first layer is dense. The second layer does that; the third draws other experts for each sentence.
    """
    rng = np.random.default_rng(seed)
    content = [rng.choice(16, 4, replace=False) for _ in range(n)]
    found = {}
    for language in range(languages):
        unit = rng.permutation(n)
        n_active = np.zeros((n, 2, 16), dtype=np.int64)
        for row, sentence in enumerate(unit):
            same = rng.random() < kept
            n_active[row, 0, content[sentence] if same else rng.choice(16, 4, replace=False)] = 5
            n_active[row, 1, rng.choice(16, 4, replace=False)] = 5
        found[f"l{language}"] = ActivationCounts(n_active, np.full(n, 10), 2, (0, 16, 16), unit=unit)
    return found


def test_translations_that_routers_treat_alike_are_found_in_their_layer():
    found = compare_routing_of_sentences(parallel_routers(2, kept=1.0), 200, seed=0)
    first, second = found
    assert (first["layer"], second["layer"]) == (1, 2)
    assert first["value"] == 1 and first["low"] == pytest.approx(1) and first["null"] < 0.4
    assert first["p_value"] == 1 / 40  # 39 moves of forty sentences
    assert abs(second["value"] - second["null"]) < 0.1 and second["p_value"] > 0.05


def test_half_of_the_translations_treated_alike_lie_between():
    first = compare_routing_of_sentences(parallel_routers(2, kept=0.5, n=200), 200, seed=0)[0]
    assert first["low"] < first["value"] < first["high"] and first["high"] - first["low"] < 0.2
    both = 0.25 + 0.75 * first["null"]
    assert first["low"] < both < first["high"]


def test_sentences_without_a_common_content_are_rarely_called_alike():
    p_values = [
        compare_routing_of_sentences(parallel_routers(2, kept=0.0, seed=seed), 200, seed=0)[0]["p_value"]
        for seed in range(60)
    ]
    # three of sixty at the level of 0.05; more than eight would be a chance of one in a hundred
    assert sum(p <= 0.05 for p in p_values) <= 8


def test_parallel_text_has_translations_in_the_table_and_in_the_summary():
    sentences = parallel_routers(3, kept=1.0)
    rows = tabulate_routing(list(sentences.values()), list(sentences), SETTINGS, sentences)
    assert sum(r["statistic"] == "translations" for r in rows) == 2 * 3
    text = [{name: "" if value is None else str(value) for name, value in r.items()} for r in rows]
    first, second = summarise_routing({"tiny": text})
    assert first["translations_alike"] > 0.6 and abs(second["translations_alike"]) < 0.1
    with pytest.raises(BabelscopeError, match="are not parallel"):
        compare_routing_of_sentences(dict.fromkeys(("en", "fr"), random_routers(0, np.ones(8))), 100, 0)


def test_experts_that_are_groups_of_neurons_have_no_routing():
    counts = ActivationCounts(np.full((2, 1, 4), 5), np.array([10, 10]), 2)
    with pytest.raises(BabelscopeError, match=r"experts\.method: router"):
        tabulate_routing([counts, counts], ["en", "fr"], SETTINGS)

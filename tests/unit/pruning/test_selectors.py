"""Selectors of neurons: LAPE against an independent reference, and all of them on planted data."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from tests.tiny import save_model

from babelscope.model.info import describe_model
from babelscope.pruning.budgets import BUDGETS, select_neurons
from babelscope.pruning.selectors import (
    SELECTORS,
    Evidence,
    ExpertFrequencies,
    NeuronNorms,
    Removals,
    lape,
    read_neuron_norms,
)
from babelscope.recording.neurons import NeuronStatistics
from babelscope.study.errors import BabelscopeError

N_LAYERS, D_FF, N_TOKENS = 3, 40, 1000


def statistics(n_positive, activations=None, seed=0):
    """One block of tokens; activations are (n_tokens, n_layers, d_ff), random by default."""
    n_positive = np.asarray(n_positive, dtype=np.int64)
    if activations is None:
        activations = np.random.default_rng(seed).normal(size=(N_TOKENS, *n_positive.shape))
    h = np.asarray(activations)
    sums = (h.sum(axis=0), (h**2).sum(axis=0), np.abs(h).sum(axis=0))
    return NeuronStatistics(n_positive[None], *(part[None] for part in sums), np.array([len(h)]))


def norms(down=1.0, down_l1=1.0, rows=1.0):
    ones = np.ones((N_LAYERS, D_FF))
    return NeuronNorms(rows * ones, down * ones, down_l1 * ones)


def some_counts(seed):
    """Counts of one language: most neurons are rarely positive, some often."""
    rng = np.random.default_rng(seed)
    return rng.binomial(N_TOKENS, rng.beta(0.5, 2.0, size=(N_LAYERS, D_FF)))


def lape_by_hand(counts, n_tokens, top_rate, quantile):
    """The published definition in plain loops: sorted lists, no arrays."""
    n_languages, n_layers, d_ff = len(counts), len(counts[0]), len(counts[0][0])
    cells = [(layer, neuron) for layer in range(n_layers) for neuron in range(d_ff)]
    p = {
        (k, *cell): int(counts[k][cell[0]][cell[1]]) / n_tokens[k]
        for k in range(n_languages)
        for cell in cells
    }
    bar = sorted(p.values())[round(len(p) * quantile) - 1]
    ranked = []
    for cell in cells:
        own = [p[k, *cell] for k in range(n_languages)]
        if any(value > bar for value in own):
            parts = [value / sum(own) for value in own if value > 0]
            ranked.append((-math.fsum(part * math.log(part) for part in parts), cell))
    lowest = [cell for _, cell in sorted(ranked)[: round(len(cells) * top_rate)]]
    return [{cell for cell in lowest if p[k, *cell] > bar} for k in range(n_languages)]


@pytest.mark.parametrize("top_rate", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_lape_finds_the_published_sets_neuron_by_neuron(seed, top_rate):
    counts = np.stack([some_counts(100 * seed + k) for k in range(5)])
    counts[:, 1, 7] = 0  # a neuron that is never positive
    n_tokens = [N_TOKENS + 37 * k for k in range(5)]
    expected = lape_by_hand(counts.tolist(), n_tokens, top_rate, 0.9)
    probabilities = counts / np.array(n_tokens)[:, None, None]
    found = lape(probabilities, top_rate, filter_rate=0.9, bar_rate=0.9)
    assert [{(int(a), int(b)) for a, b in np.argwhere(row)} for row in found.specific] == expected
    assert sum(map(len, expected)) > 0
    assert np.isinf(found.entropy[1, 7])


def test_lape_gives_a_planted_neuron_to_its_language_alone():
    probabilities = np.full((4, N_LAYERS, D_FF), 0.1)
    probabilities[2, 1, 5] = 0.9
    probabilities[:, 0, 3] = 0.8  # of all languages: not specific
    found = lape(probabilities, top_rate=1 / (N_LAYERS * D_FF), filter_rate=0.98, bar_rate=0.98)
    assert np.argwhere(found.specific).tolist() == [[2, 1, 5]]
    assert found.entropy[0, 3] == pytest.approx(math.log(4))


LABELS = np.tile(np.arange(D_FF) // 4, (N_LAYERS, 1))  # experts of four neurons


def planted(**more):
    """Neuron (1, 4) of the own language stands out; ``more`` are further arguments of Evidence."""
    own = np.full((N_LAYERS, D_FF), 100)
    own[1, 4] = 900
    activations = np.random.default_rng(0).normal(size=(N_TOKENS, N_LAYERS, D_FF))
    activations[:, 1, 4] *= 50
    others = [statistics(np.full((N_LAYERS, D_FF), 100), seed=k) for k in (1, 2)]
    frequency = np.full((N_LAYERS, D_FF // 4), 0.1)
    frequency[1, 1] = 0.4  # its expert
    rank = np.tile(np.arange(D_FF, dtype=float), (N_LAYERS, 1))
    rank[1, 4] = D_FF
    measured = {"norms": norms(), "experts": ExpertFrequencies(frequency, LABELS)}
    measured["removals"] = Removals(rank, rank)
    return Evidence(statistics(own, activations), others, **(measured | more))


@pytest.mark.parametrize(
    "name", [row.name for row in SELECTORS.values() if not row.control and row.name != "weight_norm"]
)
def test_a_neuron_that_works_for_one_language_alone_is_chosen_first(name):
    keep = select_neurons(planted(), name, 1 / D_FF)
    assert keep.shape == (N_LAYERS, D_FF) and keep.sum(axis=1).tolist() == [1, 1, 1]
    assert keep[1, 4]


def test_the_control_least_chooses_it_last():
    assert not select_neurons(planted(), "least", 1 - 1 / D_FF)[1, 4]


def test_random_neurons_depend_on_the_seed_alone():
    first, again = (select_neurons(planted(seed=3), "random", 0.5) for _ in range(2))
    other = select_neurons(Evidence(statistics(some_counts(9)), [], norms(), seed=3), "random", 0.5)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, other)
    assert (first != select_neurons(planted(seed=4), "random", 0.5)).any()


def test_scores_are_their_formulas():
    rng = np.random.default_rng(5)
    h = rng.normal(1.0, 2.0, size=(N_TOKENS, N_LAYERS, D_FF)) * rng.random((N_LAYERS, D_FF))
    rows, down, down_l1 = rng.random((3, N_LAYERS, D_FF)) + 0.1
    evidence = Evidence(
        statistics(some_counts(1), h), [statistics(some_counts(2))], norms(down, down_l1, rows)
    )
    expected = {
        "probability": some_counts(1) / N_TOKENS,
        "specificity": (some_counts(1) - some_counts(2)) / N_TOKENS,
        "magnitude": np.abs(h).mean(axis=0),
        "output_norm": np.abs(h).mean(axis=0) * down,
        "weight_norm": rows * down,
        "wanda_sp": np.sqrt((h**2).mean(axis=0)) * down_l1,
        "flap": h.var(axis=0) * down**2,
        "least": -np.abs(h).mean(axis=0) * down,
    }
    others = {"lape", "random", "frequency", "output_experts", "second_order"}
    assert set(expected) == set(SELECTORS) - others
    for name, scores in expected.items():
        np.testing.assert_allclose(SELECTORS[name].score(evidence), scores, err_msg=name)


def test_flap_leaves_out_a_neuron_that_is_large_but_constant_and_wanda_keeps_it():
    h = np.random.default_rng(0).normal(size=(N_TOKENS, N_LAYERS, D_FF))
    h[:, 0, 8] = 30.0
    evidence = Evidence(statistics(some_counts(1), h), [], norms())
    assert not select_neurons(evidence, "flap", 0.9)[0, 8]
    assert select_neurons(evidence, "wanda_sp", 1 / D_FF)[0, 8]


def test_every_selector_looks_at_what_it_says_it_needs_alone():
    whole = planted()
    for selector in SELECTORS.values():
        parts = {field.name: getattr(whole, field.name) for field in fields(Evidence)}
        parts |= {name: None for name in parts if name not in selector.needs}
        np.testing.assert_array_equal(selector.score(Evidence(**parts)), selector.score(whole))


def test_budgets_give_layers_the_same_share_or_shares_by_their_level():
    counts = np.full((N_LAYERS, D_FF), 100)
    counts[2] = 300
    evidence = Evidence(statistics(counts), [], norms())
    names = ("equal", "activation_level")
    sizes = {name: select_neurons(evidence, "magnitude", 0.5, name).sum(axis=1) for name in names}
    assert sizes["equal"].tolist() == [20, 20, 20]
    # 100 : 100 : 300 of 60 neurons; what the third layer of 40 cannot take goes to the others
    assert sizes["activation_level"].tolist() == [12, 12, 36]


def test_equal_error_takes_neurons_where_the_output_misses_them_least():
    rank = np.tile(np.arange(D_FF)[::-1].astype(float), (N_LAYERS, 1))  # the last neuron goes first
    error = np.array([1.0, 2.0, 4.0])[:, None] * (1 + rank)
    error[0, rank[0] == 1] = 0.0  # an error that falls is made to rise
    evidence = planted(removals=Removals(rank, error))
    keep = select_neurons(evidence, "second_order", 0.5, "equal_error")
    assert keep.sum() == N_LAYERS * D_FF // 2
    gone = ~keep
    last = [error[layer][gone[layer]].max() for layer in range(N_LAYERS)]
    assert max(last) <= min(error[layer][keep[layer]].min() for layer in range(N_LAYERS))
    assert gone.sum(axis=1).tolist() == sorted(gone.sum(axis=1), reverse=True)
    assert set(BUDGETS) == {"equal", "activation_level", "equal_error"}


def test_selectors_of_experts_keep_experts_whole_but_for_the_last():
    keep = select_neurons(planted(), "frequency", 0.25)  # ten of forty neurons
    per_expert = [np.bincount(LABELS[0], weights=row) for row in keep]
    assert all(sorted(row)[-3:] == [2, 4, 4] for row in per_expert)
    assert per_expert[1][1] == 4


@pytest.mark.parametrize("name", ["frequency", "output_experts", "second_order"])
def test_what_was_not_measured_is_named(name):
    with pytest.raises(BabelscopeError, match="given"):
        select_neurons(planted(experts=None, removals=None), name, 0.5)


def test_an_unknown_selector_or_budget_is_named():
    with pytest.raises(BabelscopeError, match=r"selector 'lap': allowed are lape, specificity"):
        select_neurons(planted(), "lap", 0.5)
    with pytest.raises(BabelscopeError, match=r"layer budget 'even': allowed are equal, activation_level"):
        select_neurons(planted(), "lape", 0.5, "even")
    with pytest.raises(BabelscopeError, match="share 0 of the neurons"):
        select_neurons(planted(), "lape", 0)


@pytest.mark.parametrize("family", ["llama", "phi3", "opt"])
def test_norms_are_those_of_the_loaded_weights(tmp_path, family):
    from babelscope.model.compute import Compute
    from babelscope.model.load import load_model
    from babelscope.pruning.neuron_scores import weight_norms

    save_model(tmp_path / "tiny", family)
    info = describe_model("tiny", tmp_path / "tiny", n_layers=3, origin="path")
    found = read_neuron_norms(info)
    model = load_model(info, Compute(device="cpu"))
    np.testing.assert_allclose(found.rows * found.down, weight_norms(model.layers), rtol=1e-5)
    columns = [layer.down.weight.double().abs().sum(dim=0).numpy() for layer in model.layers]
    np.testing.assert_allclose(found.down_l1, np.stack(columns), rtol=1e-5)

"""Statistics of neurons: sums that do not depend on their order, invariants, and their file."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.model.load import StudyModel
from babelscope.recording import neuron_tap
from babelscope.recording.neuron_tap import NeuronSums, NeuronTap
from babelscope.recording.neurons import (
    MOMENTS,
    NeuronStatistics,
    NeuronTotals,
    read_neurons,
    write_neurons,
)
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest

N_BLOCKS = 2


def make_tap(family="llama"):
    return NeuronTap(StudyModel(make_model(family)), N_BLOCKS)


def make_batches(n_batches):
    """Sums of batches, by layer float32 (3, n_blocks, 24), of sizes from 1e-12 to 1e12 and both signs."""
    rng = np.random.default_rng(0)
    shape = (n_batches, 3, len(MOMENTS), N_BLOCKS, 24)
    sizes = 10.0 ** rng.uniform(-12, 12, size=shape)
    return torch.from_numpy((sizes * rng.choice([-1, 1], size=shape)).astype(np.float32))


def add_up(batches, order, groups):
    """Add batches in this order on the device, handed to the host after each group."""
    tap = make_tap()
    tap.start(torch.ones((2, 3), dtype=torch.bool), torch.tensor([0, 1]))
    sums, total = NeuronSums(tap), NeuronTotals.zeros(N_BLOCKS, 3, 24)
    places = [torch.arange(24)] * 3
    for group in np.array_split(order, groups):
        for number in group:
            for layer in range(3):
                tap.moments[layer] = batches[number][layer]
                tap.positive[layer] = torch.ones((N_BLOCKS, 24))
            sums.add()
        total.add(sums.take(places))
    return total


def test_sums_are_the_same_bit_by_bit_in_any_order_and_in_any_groups():
    batches = make_batches(60)
    first = add_up(batches, np.arange(60), 1)
    for seed, groups in ((1, 1), (2, 7), (3, 60)):
        other = add_up(batches, np.random.default_rng(seed).permutation(60), groups)
        np.testing.assert_array_equal(other.whole + other.fraction, first.whole + first.fraction)
        np.testing.assert_array_equal(other.n_positive, first.n_positive)
        assert other.n_tokens.tolist() == first.n_tokens.tolist() == [3 * 60, 3 * 60]
    plain = [sum(float(x) for x in batches[order, 0, 0, 0, 0]) for order in (range(60), range(59, -1, -1))]
    assert plain[0] != plain[1]  # what float64 alone does with them


def test_sums_that_stay_on_the_device_for_long_are_the_same(monkeypatch):
    batches = make_batches(20)
    first = add_up(batches, np.arange(20), 20)
    monkeypatch.setattr(neuron_tap, "_ADDITIONS", 3)
    other = add_up(batches, np.arange(20), 1)
    np.testing.assert_array_equal(other.whole + other.fraction, first.whole + first.fraction)


def test_a_sum_is_the_exact_sum_of_terms_on_a_grid_of_two_to_the_minus_40():
    batches = make_batches(20)
    total = add_up(batches, np.arange(20), 3)
    found = (total.whole + total.fraction)[0, 0, 0]
    for neuron, value in enumerate(found):
        terms = [Fraction(float(x)) for x in batches[:, 0, 0, 0, neuron]]
        on_grid = [Fraction(round(x * 2**40), 2**40) for x in terms]
        assert float(sum(on_grid)) == value


@pytest.mark.parametrize("family", ["llama", "phi3", "opt"])
def test_the_reductions_of_a_gpu_give_the_sums_of_the_cpu(family, monkeypatch):
    ids = torch.arange(3, 35).reshape(4, 8)
    counted = torch.ones((4, 8), dtype=torch.bool)
    counted[:, 0] = counted[2, 5:] = False
    model, tables = StudyModel(make_model(family)), []

    def reduce(tap, values, _summands, n_sums):
        return neuron_tap._sum_in_passes(values.reshape(4, 8, -1), tap._counted, n_sums)

    for on_gpu in (False, True):
        if on_gpu:
            monkeypatch.setattr(NeuronTap, "_sum", reduce)
        with NeuronTap(model, N_BLOCKS) as tap:
            tap.start(counted, torch.tensor([0, 1, 1, 0]))
            model.hidden(ids)
            tables.append((torch.stack(list(tap.positive.values())), torch.stack(list(tap.moments.values()))))
    assert torch.equal(tables[0][0], tables[1][0])
    torch.testing.assert_close(tables[0][1], tables[1][1], rtol=1e-4, atol=1e-5)


def statistics(**changes):
    arrays = {
        "n_positive": np.full((1, 2, 3), 4),
        "sum": np.full((1, 2, 3), -3.0),
        "sum_of_squares": np.full((1, 2, 3), 5.0),
        "sum_of_magnitudes": np.full((1, 2, 3), 6.0),
        "n_tokens": np.array([10]),
    }
    for name, value in changes.items():
        arrays[name] = arrays[name].copy()
        arrays[name][0, 1, 2] = value
    return NeuronStatistics(**arrays)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_positive", 11, "n_positive is more than n_tokens"),
        ("sum", -6.1, "|sum| is more than sum_of_magnitudes"),
        ("sum_of_squares", 3.5, "sum_of_magnitudes**2 is more than n_tokens * sum_of_squares"),
    ],
)
def test_sums_that_no_activations_have_are_refused(name, value, message):
    statistics()
    with pytest.raises(BabelscopeError) as error:
        statistics(**{name: value})
    assert message in str(error.value)
    assert "{'block': 0, 'layer': 1, 'neuron': 2}" in str(error.value)


def test_the_file_says_what_it_is_and_another_is_refused(tmp_path):
    corpus = make_corpus([5, 5])
    total = NeuronTotals(
        np.full((1, 2, 3), 4), np.full((3, 1, 2, 3), 4.0), np.zeros((3, 1, 2, 3)), np.array([9])
    )
    said = {"model": "tiny", "language": "en"}
    digest = documents_digest(corpus, corpus.profile_idx)
    write_neurons(tmp_path / "en.h5", total, **said, documents_sha256=digest)
    found = read_neurons(tmp_path / "en.h5", **said, corpus=corpus)
    for name in ("n_positive", "n_tokens", *MOMENTS):
        np.testing.assert_array_equal(getattr(found, name), getattr(total.finished(), name))
    with pytest.raises(BabelscopeError, match=r"en\.h5: made with language = 'en', this run has 'hi'"):
        read_neurons(tmp_path / "en.h5", model="tiny", language="hi")
    with pytest.raises(BabelscopeError, match="made with model = 'tiny', this run has 'other'"):
        read_neurons(tmp_path / "en.h5", model="other", language="en")
    with pytest.raises(BabelscopeError, match="made with documents_sha256 = "):
        read_neurons(tmp_path / "en.h5", **said, corpus=make_corpus([5, 5], seed=1))


def test_means_are_per_token():
    found = statistics()
    assert found.probability[0, 0] == pytest.approx(0.4)
    assert found.mean[0, 0] == pytest.approx(-0.3)
    assert found.variance[0, 0] == pytest.approx(0.5 - 0.09)
    assert found.mean_magnitude[0, 0] == pytest.approx(0.6)

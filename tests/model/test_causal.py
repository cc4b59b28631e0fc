"""The causal test on a tiny model: what is tested, out of one pass of the layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import D_FF, N_LAYERS, make_corpus, save_model

from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import load_model
from babelscope.pruning.causal import CausalSettings, Variant, list_variants, run_causal_test
from babelscope.pruning.compensation import FitSettings, prune_and_compensate
from babelscope.pruning.cut import prune
from babelscope.pruning.figures import UNITS_TITLES, plot_selectors
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.moments import MomentSettings, gather_moments
from babelscope.pruning.selector_table import MORE, tabulate_selectors
from babelscope.pruning.selectors import SELECTORS, Evidence, ExpertFrequencies, read_neuron_norms
from babelscope.pruning.walk import LayerWalk
from babelscope.recording.neurons import NeuronStatistics
from babelscope.study.errors import BabelscopeError

CORPORA = {
    code: make_corpus([9, 7, 12, 5] * 6, n_heldout=8, seed=k) for k, code in enumerate(("en", "fr", "hi"))
}
SETTINGS = CausalSettings([], [0.5], [0.25], n_profile=12, n_heldout=6, n_others=2, n_draws=2, seed=0)


def statistics(seed):
    h = np.random.default_rng(seed).normal(size=(50, N_LAYERS, D_FF))
    positive, square = (h > 0).sum(axis=0), (h**2).sum(axis=0)
    return NeuronStatistics(
        positive[None], h.sum(axis=0)[None], square[None], np.abs(h).sum(axis=0)[None], np.array([50])
    )


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    info = describe_model(
        "tiny", save_model(tmp_path_factory.mktemp("model")), n_layers=N_LAYERS, origin="test"
    )
    labels = np.tile(np.arange(D_FF) % 8, (N_LAYERS, 1))
    experts = ExpertFrequencies(np.random.default_rng(0).random((N_LAYERS, 8)), labels)
    own, *others = (statistics(seed) for seed in range(3))
    evidence = Evidence(own, others, read_neuron_norms(info), experts=experts)
    compute = Compute(device="cpu")
    results = {
        code: run_causal_test(info, compute, CORPORA, code, evidence, SETTINGS) for code in ("en", "fr")
    }
    return info, evidence, results


def test_every_selector_is_tested_kept_compensated_and_removed_on_the_text_of_all_languages(tested):
    _, _, results = tested
    cells = results["en"]["cells"]
    assert {cell["selector"] for cell in cells} == set(SELECTORS)
    tables = [(c["selector"], c["draw"], c["units"], c["share"], c["compensation"]) for c in cells]
    assert len(set(tables)) == len(tables)
    assert {c["compensation"] for c in cells if c["selector"] == "flap" and c["units"] == "kept"} == {
        "none",
        "bias",
        "ridge",
    }
    assert all(
        {text: len(nll) for text, nll in c["nll"].items()} == {"en": 6, "fr": 2, "hi": 2} for c in cells
    )
    assert [c["draw"] for c in cells if c["selector"] == "random" and c["units"] == "removed"] == [0, 1]


def test_a_variant_is_what_cutting_the_model_by_hand_gives(tested):
    info, evidence, results = tested
    model, scores = load_model(info, Compute(device="cpu")), SELECTORS["wanda_sp"].score(evidence)
    heldout = CORPORA["en"].heldout_idx[:6]
    for units in ("kept", "removed"):
        variant = Variant("wanda_sp", None, units, 0.5 if units == "kept" else 0.25, "none")
        idx = [variant.kept(row) for row in scores]
        assert [len(row) for row in idx] == [12 if units == "kept" else 18] * N_LAYERS
        cell = next(c for c in results["en"]["cells"] if all(c[k] == v for k, v in vars(variant).items()))
        with model.restored():
            prune(model.layers, idx)
            expected = evaluate_documents(model, CORPORA["en"], heldout)
        np.testing.assert_allclose(cell["nll"]["en"], expected.nll, rtol=1e-5)
    dense = evaluate_documents(model, CORPORA["en"], heldout)
    np.testing.assert_allclose(results["en"]["dense"]["en"], dense.nll, rtol=1e-5)


def test_neurons_can_be_chosen_out_of_what_the_pruned_model_says():
    from tests.tiny import make_model

    from babelscope.model.load import StudyModel
    from babelscope.pruning.second_order import choose_second_order

    model, corpus = StudyModel(make_model("llama")), CORPORA["en"]
    fits = prune_and_compensate(model, corpus, corpus.profile_idx, choose_second_order([6, 24, 12]))
    assert [layer.d_ff for layer in model.layers] == [6, 24, 12]
    # nothing to correct in the second layer; the third takes the ridge of the first
    assert [fit.ridge > 0 for fit in fits] == [True, False, True] and fits[0].ridge == fits[2].ridge
    assert fits[0].unexplained < 1 and [fit.unexplained for fit in fits[1:]] == [1.0, None]


def test_the_ridge_is_chosen_again_after_so_many_layers_that_are_cut(monkeypatch):
    from tests.tiny import make_model

    from babelscope.model.load import StudyModel

    monkeypatch.setattr("babelscope.pruning.compensation.CHOSEN_EVERY", 2)
    model, corpus = StudyModel(make_model("llama")), CORPORA["en"]
    fits = prune_and_compensate(model, corpus, corpus.profile_idx, [np.arange(12)] * N_LAYERS)
    assert [fit.unexplained is None for fit in fits] == [False, True, False]


def test_more_hidden_states_than_the_host_should_hold_are_refused_before_work_starts(tested, monkeypatch):
    info, evidence, _ = tested
    monkeypatch.setattr("babelscope.pruning.causal.WAITING_BYTES", 1000)
    monkeypatch.setattr("babelscope.pruning.causal.evaluate_documents", None)
    with pytest.raises(BabelscopeError, match=r"10 documents under \d+ variants .*heldout_documents"):
        run_causal_test(info, Compute(device="cpu"), CORPORA, "en", evidence, SETTINGS)


def test_the_table_compares_with_random_units_in_pairs_and_the_figure_shows_it(tested):
    _, _, results = tested
    rows = tabulate_selectors(results, seed=0)
    assert {row["language"] for row in rows} == {"en", "fr", "all"}
    n_cases = len({(v.selector, v.units, v.share, v.compensation) for v in list_variants(SETTINGS)})
    assert len(rows) == 3 * n_cases
    by = {(r["selector"], r["language"], r["units"], r["compensation"]): r for r in rows}
    row, random = by["lape", "en", "kept", "ridge"], by["random", "en", "kept", "ridge"]
    cells = results["en"]["cells"]
    nll = {
        name: [
            c["nll"]
            for c in cells
            if (c["selector"], c["units"], c["compensation"]) == (name, "kept", "ridge")
        ]
        for name in ("lape", "random")
    }
    bits = {text: np.log(2) * sum(n) for text, n in results["en"]["n_bytes"].items()}
    dense = results["en"]["dense"]

    def damage(table, text):
        return (sum(table[text]) - sum(dense[text])) / bits[text]

    own = damage(nll["lape"][0], "en")
    others = np.mean([damage(nll["lape"][0], text) for text in ("fr", "hi")])
    assert row["own"] == pytest.approx(own) and row["others"] == pytest.approx(others)
    assert row["specificity"] == pytest.approx(others - own)
    assert row["random_own"] == pytest.approx(np.mean([damage(t, "en") for t in nll["random"]]))
    assert row["random_own"] == pytest.approx(random["own"]) and random["beyond_random"] is None
    assert row["beyond_random"] == pytest.approx(row["specificity"] - random["specificity"])
    assert row["own_less_random"] == pytest.approx(row["own"] - random["own"])
    assert row["beyond_random_low"] <= row["beyond_random"] <= row["beyond_random_high"]
    assert (row["verdict"] == MORE) == (row["beyond_random_low"] > 0)
    removed = by["lape", "en", "removed", "none"]
    assert removed["specificity"] == pytest.approx(removed["own"] - removed["others"])
    both = by["lape", "all", "kept", "ridge"]
    assert both["own"] == pytest.approx(
        np.mean([by["lape", c, "kept", "ridge"]["own"] for c in ("en", "fr")])
    )
    figure = plot_selectors(rows, "tiny")
    assert [axes.get_title().rpartition(" (")[0] for axes in figure.axes] == list(UNITS_TITLES.values())


def fitted(settings, keep, family="gemma3_text"):
    """Corrected columns of a tiny model's layers."""
    from tests.tiny import make_model

    from babelscope.model.load import StudyModel

    model, corpus = StudyModel(make_model(family), 64), CORPORA["en"]
    fits = prune_and_compensate(model, corpus, corpus.profile_idx, keep, settings=settings)
    return [layer.down.weight for layer in model.layers], fits


def test_the_dense_models_output_is_the_layers_own_until_a_layer_was_cut():
    keep = [np.arange(24), np.arange(16), np.arange(16)]
    own, _ = fitted(FitSettings(ridge=0.1), keep)
    dense, _ = fitted(FitSettings(ridge=0.1, to_dense=True), keep)
    torch.testing.assert_close(own[1], dense[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(own[2], dense[2], rtol=1e-2)


@pytest.mark.parametrize("change", [{"first_token": True}, {"relative": True}, {"ridge": 3.0}])
def test_what_counts_in_the_fit_changes_the_columns(change):
    keep = [np.arange(16)] * N_LAYERS
    before, _ = fitted(FitSettings(), keep)
    after, fits = fitted(FitSettings(**change), keep)
    assert not torch.allclose(before[0], after[0], rtol=1e-3)
    assert fits[0].unexplained < 1
    assert {fit.ridge for fit in fits} == {3.0} or "ridge" not in change


def test_a_token_counts_by_the_inverse_square_of_the_layers_output():
    from tests.tiny import make_model

    from babelscope.model.load import StudyModel

    model, corpus = StudyModel(make_model("llama"), 64), CORPORA["en"]
    rows: list[torch.Tensor] = []
    with model.activations(lambda layer, h: rows.append(h) if layer == 0 else None):
        for idx in corpus.profile_idx:
            model.hidden(np.concatenate([[corpus.bos_token_id], corpus.document(idx)])[None])
    for first in (False, True):
        counted = torch.cat([h if first else h[1:] for h in rows]).double()
        counted = counted / (counted @ model.layers[0].down.weight.double().T).norm(dim=1, keepdim=True)
        with torch.inference_mode():
            walk = LayerWalk(model, corpus, corpus.profile_idx, count_special=first)
            found = gather_moments(walk, MomentSettings(first, relative=True)).whole
        torch.testing.assert_close(found.gram, counted.T @ counted, rtol=1e-3, atol=1e-4)
        assert found.n_tokens == len(counted)

"""Controls: their tables by hand, their sets, and the table of token frequencies."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny import make_corpus, make_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.load import StudyModel
from babelscope.pruning.control_tables import CONTROLS, summarise_controls
from babelscope.pruning.controls import ControlSettings, choose_controls, control_names
from babelscope.pruning.losses import DocumentLosses, unigram_losses


def result(pruned, draws, compensated=4, compensated_draws=()):
    documents = {"n_predicted": [10, 10], "pruned": [pruned * 10] * 2, "output_norm": [30, 30]}
    documents |= {f"random_{n}": [loss * 10] * 2 for n, loss in enumerate(draws)}
    documents |= {"compensated": [compensated * 10] * 2}
    if compensated_draws:
        documents |= {f"random_{n}_compensated": [loss * 10] * 2 for n, loss in enumerate(compensated_draws)}
        documents |= {name: [60, 60] for name in ("output_norm_compensated", "least_frequent_compensated")}
    return {"documents": documents}


def test_the_table_of_controls_by_hand_and_what_its_intervals_lack():
    rows = {row["control"]: row for row in summarise_controls([result(5, [6, 8]), result(7, [6, 10])])}
    assert list(rows) == list(CONTROLS)
    random = rows["random"]
    assert random["difference"] == pytest.approx((1 + 3 - 1 + 3) / 4)
    assert random["p_control_beats_chosen"] == 0.25
    assert random["interval"] == "languages and draws" and random["n_draws"] == 2
    # means of languages are 2 and 1: Student's t of one degree of freedom times 0.5
    assert random["high"] - random["difference"] == pytest.approx(12.706 * 0.5, rel=1e-3)
    assert random["sd_draws"] == pytest.approx(np.sqrt((2 + 8) / 2))
    assert rows["output_norm"]["difference"] == pytest.approx(-3)
    assert rows["output_norm"]["interval"] == "languages"
    missing = rows["random_compensated"]
    assert missing["difference"] is None and "compensated_draws is 0" in missing["interval"]
    one = summarise_controls([result(5, [6], 5.5, [6]), result(7, [6], 5.5, [7])])
    assert "lacks the spread of draws" in one[0]["interval"] and one[0]["sd_draws"] is None
    assert [row["difference"] for row in one[2:]] == pytest.approx([1.0, 0.5, 0.5])
    alone = summarise_controls([result(5, [6, 8])])[0]
    assert (alone["low"], alone["interval"]) == (None, "none: one language")


def test_controls_keep_as_many_in_each_layer_and_differ_between_languages():
    model, corpus = StudyModel(make_model("llama")), make_corpus([9] * 12, n_heldout=2)
    labels = np.tile(np.arange(24) % 8, (3, 1)).astype(np.int32)
    partition = ExpertPartition(labels, 8)
    frequency = np.random.default_rng(0).random((3, 8))
    keep = np.arange(8) < np.array([[5], [0], [3]])
    settings = ControlSettings(n_random=2, n_compensated=3, n_documents=8, seed=0)
    found, other = (
        choose_controls(model, corpus, partition, keep, frequency, code, settings) for code in ("en", "fr")
    )
    assert list(found) == ["random_0", "random_1", "random_2", "output_norm", "least_frequent"]
    for chosen in found.values():
        assert chosen.sum(axis=1).tolist() == [5, 0, 3]
    assert any((found[f"random_{n}"] != other[f"random_{n}"]).any() for n in range(3))
    least = found["least_frequent"]
    assert frequency[0][least[0]].max() < frequency[0][~least[0]].min()
    plain, compensated = control_names(settings)
    assert plain == ["random_0", "random_1", "output_norm"]
    assert compensated == ["random_0", "random_1", "random_2", "output_norm", "least_frequent"]
    none = ControlSettings(n_random=2, n_compensated=0, n_documents=8, seed=0)
    assert control_names(none)[1] == []


def test_recorded_squares_say_whose_output_is_largest_and_no_model_runs(monkeypatch):
    model, corpus = StudyModel(make_model("llama")), make_corpus([9] * 12, n_heldout=2)
    partition = ExpertPartition(np.tile(np.arange(24) % 8, (3, 1)).astype(np.int32), 8)
    monkeypatch.setattr(model, "hidden", None)
    squares = np.ones((3, 24))
    squares[:, np.arange(24) % 8 == 6] = 100.0
    for layer in model.layers:  # what a neuron says is its activation times its column
        layer.down.weight[:, 2::8] *= 1000
    keep, settings = np.tile(np.arange(8) < 2, (3, 1)), ControlSettings(1, 0, 8, seed=0)
    asked = (model, corpus, partition, keep, np.zeros((3, 8)), "en", settings)
    chosen = choose_controls(*asked, mean_square=squares)["output_norm"]
    assert (chosen == np.isin(np.arange(8), [2, 6])).all()


@pytest.mark.parametrize("bos", [1, -1])
def test_token_frequencies_of_the_profile_predict_heldout_documents(bos):
    corpus = make_corpus([3, 4], n_heldout=1, bos=bos)
    corpus.token_ids[:] = [5, 5, 9, 5, 5, 7, 6]  # held out 5 5 9; profile 5 5 7 6: two of four seen once
    n_predicted = np.array([3 if bos >= 0 else 2])
    losses = DocumentLosses(np.zeros(1), n_predicted, np.array([10]))
    probability = {5: 0.5 * 2 / 4 + 0.5 / 20, 9: 0.5 / 20}
    expected = -np.log([probability[i] for i in (5, 5, 9)][3 - n_predicted[0] :]).sum()
    found = unigram_losses(corpus, losses, 20)
    assert found.nll == pytest.approx(expected)
    everything = unigram_losses(corpus, DocumentLosses(np.zeros(1), n_predicted, np.array([10])), 20)
    assert everything.mean_nll == pytest.approx(expected / n_predicted[0])

"""Perplexity of running text after pruning, on a tiny model and a small local text."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.tiny import BOS, make_text, save_model

from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import load_model
from babelscope.pruning.methods import METHODS
from babelscope.pruning.perplexity import PerplexitySettings, measure_perplexity, share_to_keep
from babelscope.study.errors import BabelscopeError
from babelscope.text.running import cut_windows, read_running_text
from babelscope.text.tokenise import load_encoder

SETTINGS = PerplexitySettings(32, 6, 4, False, [0.05, 0.9], list(METHODS), seed=0)
CALIBRATION, TEXT = ("\n\n".join(make_text("en", 60, seed=seed)) for seed in (1, 2))


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return describe_model("tiny", save_model(tmp_path_factory.mktemp("model")), n_layers=3, origin="test")


@pytest.mark.parametrize("every", [False, True])
def test_the_dense_row_is_the_perplexity_of_whole_windows_one_after_the_other(info, every):
    settings = PerplexitySettings(32, 6, 0, every, [0.05], ["second_order"], seed=0)
    row = measure_perplexity(info, Compute(device="cpu"), CALIBRATION, TEXT, settings)[0]
    ids = load_encoder(info)(TEXT)[0]
    ids = ids if every else [BOS, *ids]
    length = 31 if every else 32
    windows = [ids[i : i + length] for i in range(0, len(ids) - length + 1, length)]
    windows = [[BOS, *window] if every else window for window in windows]
    batch = torch.tensor(windows)
    model = load_model(info, Compute(device="cpu"))
    with torch.inference_mode():
        logs = model.head(model.hidden(batch))[:, :-1].log_softmax(dim=-1)
    mean = float(-logs.gather(2, batch[:, 1:, None]).mean())
    assert row["n_windows"] == len(windows)
    assert row["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)


def test_every_method_removes_the_share_of_all_parameters_or_says_that_it_cannot(info):
    rows = measure_perplexity(info, Compute(device="cpu"), CALIBRATION, TEXT, SETTINGS)
    assert [(row["method"], row["removed"]) for row in rows] == [
        ("dense", 0.0),
        *((method, removed) for removed in (0.05, 0.9) for method in METHODS),
    ]
    neuron = (1 - share_to_keep(load_model(info, Compute(device="cpu")), 0.05)) * 24
    for row in rows[1 : 1 + len(METHODS)]:
        assert row["parameters_removed"] == pytest.approx(0.05, abs=0.05 / neuron)
        assert row["perplexity"] > 0 and row["ffn_parameters_kept"] < 1
    assert all(row["perplexity"] is None for row in rows[1 + len(METHODS) :])


def test_windows_are_cut_from_the_start_and_the_rest_is_dropped():
    once = cut_windows(np.arange(10, 30), 8, BOS, prefix_every_window=False)
    assert once.bos_token_id == -1 and once.document(0).tolist() == [BOS, *range(10, 17)]
    assert len(once.heldout) == 2
    every = cut_windows(np.arange(10, 30), 8, BOS, prefix_every_window=True)
    assert every.bos_token_id == BOS and every.document(1).tolist() == list(range(17, 24))
    with pytest.raises(BabelscopeError, match="3 tokens of text are fewer than a window of 8"):
        cut_windows(np.arange(3), 8, -1, prefix_every_window=False)


def test_rows_of_a_source_are_joined_by_an_empty_line(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert read_running_text({"files": str(tmp_path / "a.txt")}, "text") == "one\n\ntwo"
    with pytest.raises(BabelscopeError, match=r"perplexity\.calibration: no source of text is given"):
        read_running_text(None, "calibration")

"""Where a way to compute on a GPU fails or lies, another one is taken, and the job goes on."""

from __future__ import annotations

import logging

import pytest

from babelscope.recording import gpu_trials


@pytest.fixture(autouse=True)
def fresh():
    gpu_trials.usable.cache_clear()
    yield
    gpu_trials.usable.cache_clear()


def test_a_product_that_gives_what_it_should_is_used():
    assert gpu_trials.usable("product", "cpu")


@pytest.mark.parametrize("trial", [lambda _device: False, lambda _device: 1 / 0])
def test_what_fails_is_said_once_and_not_used(trial, monkeypatch, caplog):
    monkeypatch.setitem(gpu_trials.TRIALS, "sums", trial)
    caplog.set_level(logging.INFO)
    assert not gpu_trials.usable("sums", "cpu")
    assert not gpu_trials.usable("sums", "cpu")
    assert [record.getMessage().startswith("GPU, sums: slower") for record in caplog.records] == [True]

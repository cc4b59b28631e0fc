"""Experts, counts and losses in a few calls, without files of a study."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny import make_text, save_model

import babelscope
from babelscope.recording.record import make_variants
from babelscope.study.errors import BabelscopeError

TEXTS = {"en": make_text("en", 12), "hi": make_text("hi", 9)}


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return babelscope.describe_model("tiny", save_model(tmp_path_factory.mktemp("model"), "llama"))


@pytest.fixture(scope="module")
def partition(info):
    return babelscope.cut_experts(info, n_experts=8)


def test_a_folder_says_how_many_layers_it_has(info):
    assert (info.n_layers, info.d_ff, info.origin) == (3, 24, "path")


def test_sentences_are_counted_as_the_workflow_counts_documents(info, partition):
    counts = babelscope.record_sentences(info, partition, TEXTS, top_fraction=0.25)
    assert list(counts) == ["en", "hi"]
    model, variants = babelscope.load_model(info), make_variants({"main": partition}, 0.25)
    for language, texts in TEXTS.items():
        corpus = babelscope.tokenize_texts(info, texts)
        idx, settings = np.arange(len(texts)), babelscope.RecordingSettings()
        expected = babelscope.record_activations(model, corpus, idx, variants, settings).counts["main"]
        np.testing.assert_array_equal(counts[language].n_active, expected.n_active)
        assert counts[language].n_tokens.sum() == len(corpus.token_ids)
        assert counts[language].top_k == 6


def test_a_language_without_sentences_is_an_error(info, partition):
    with pytest.raises(BabelscopeError, match="fr: no text to tokenize"):
        babelscope.record_sentences(info, partition, {**TEXTS, "fr": []})


def test_a_pruned_language_is_evaluated_on_held_out_sentences(info, partition):
    texts = TEXTS["en"]
    counts = babelscope.record_sentences(info, partition, {"en": texts[:8]}, top_fraction=0.25)
    corpus = babelscope.tokenize_texts(info, texts[:8], heldout=texts[8:])
    assert corpus.heldout.tolist() == [False] * 8 + [True] * 4
    compute = babelscope.Compute()
    choice = babelscope.Choice(method="most_frequent", threshold=0.05, share=0.5)
    frequencies = [counts["en"].frequency]
    plan, fits = babelscope.plan_pruning(info, compute, [corpus], partition, frequencies, choice, 8)
    assert plan.keep.sum() == plan.keep.size // 2
    assert len(fits) == info.n_layers
    controls = babelscope.ControlSettings(n_random=2, n_compensated=0, n_documents=8, seed=0)
    described = (corpus, partition, plan, frequencies[0], "en", controls)
    loss = babelscope.evaluate_language(info, compute, *described)
    assert loss["n_documents"] == 4
    assert loss["ffn_parameters_kept"] == pytest.approx(0.5)
    model = babelscope.load_model(info)
    babelscope.apply_plan(model.layers, plan)
    assert [layer.d_ff for layer in model.layers] == plan.keep.sum(axis=1).tolist()

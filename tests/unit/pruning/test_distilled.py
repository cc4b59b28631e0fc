"""The file of a distilled model, and which documents distillation may look at."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.tiny import make_corpus

from babelscope.model.info import ModelInfo
from babelscope.pruning.distil import split_documents
from babelscope.pruning.pruned_model import (
    DISTILLED,
    PruningPlan,
    read_finished,
    read_plan,
    write_distilled,
    write_plan,
)
from babelscope.study.errors import BabelscopeError

D_MODEL, D_FF, SETTINGS = 4, 6, {"epochs": 2, "learning_rate": 3e-5, "seed": 0}


def model_of(family):
    sizes = {"n_layers": 2, "d_model": D_MODEL, "d_ff": D_FF}
    said = {"origin": "path", "revision": "", "sha256": "", "activation": "silu", "gated": True}
    return ModelInfo("tiny", "folder", family=family, bos_token_id=1, **sizes, **said)


def plan_of(family):
    keep = np.array([[True, False, True, True, False, False], [False] * 6])
    rng = torch.Generator().manual_seed(0)

    def matrices(by_neuron, transposed=False):
        shapes = [(by_neuron * n, D_MODEL) for n in keep.sum(axis=1)]
        return tuple(
            torch.randn(*(shape[::-1] if transposed else shape), generator=rng).bfloat16() for shape in shapes
        )

    gate = matrices(1) if family == "llama" else ()
    return PruningPlan(keep, matrices(1, True), matrices(2 if family == "phi3" else 1), gate)


@pytest.mark.parametrize(
    ("family", "names"), [("llama", "down up gate"), ("phi3", "down up"), ("opt", "down up")]
)
def test_all_weights_of_a_distilled_model_come_back_from_its_file(tmp_path, family, names):
    info, plan, path = model_of(family), plan_of(family), tmp_path / "en.safetensors"
    write_distilled(path, plan, [0.5, 0.25, 0.3], "tiny", "en", ["en"], **SETTINGS)
    back = read_plan(path, info, "en", DISTILLED, **SETTINGS)
    np.testing.assert_array_equal(back.keep, plan.keep)
    for name in ("down", "up", "gate"):
        pairs = list(zip(getattr(back, name), getattr(plan, name), strict=True))
        assert len(pairs) == (2 if name in names.split() else 0)
        assert all(
            torch.equal(found, expected) and found.dtype == torch.bfloat16 for found, expected in pairs
        )
    with safe_open(path, framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"keep", *names.split()}  # noqa: SIM118
        metadata = file.metadata()
    assert metadata["format"] == "babelscope/distilled"
    assert json.loads(metadata["losses"]) == [0.5, 0.25, 0.3]


def test_a_distilled_model_of_another_model_kind_rate_or_family_is_refused(tmp_path):
    info, plan, path = model_of("llama"), plan_of("llama"), tmp_path / "en.safetensors"
    write_distilled(path, plan, [0.5], "tiny", "en", ["en"], **SETTINGS)
    with pytest.raises(BabelscopeError, match=r"model is 'tiny', need 'other'.*rule distil makes it"):
        read_plan(path, replace(info, name="other"), "en", DISTILLED)
    with pytest.raises(BabelscopeError, match="format is 'babelscope/distilled', need 'babelscope/pruned'"):
        read_plan(path, info, "en")
    with pytest.raises(BabelscopeError, match=r"learning_rate = 3e-05, this run has 0\.1"):
        read_plan(path, info, "en", DISTILLED, learning_rate=0.1)
    with pytest.raises(BabelscopeError, match="for every layer down, up of the neurons kept; delete"):
        read_plan(path, model_of("opt"), "en", DISTILLED)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in one matrix
    path.write_bytes(bytes(content))
    with pytest.raises(BabelscopeError, match=r"damaged \(\w+\.\d does not match its SHA-256\)"):
        [list(getattr(read_plan(path, info, "en", DISTILLED), name)) for name in ("down", "up", "gate")]


def test_a_finished_model_comes_with_its_distilled_one_where_there_are_two_files(tmp_path):
    info, plan, choice = model_of("llama"), plan_of("llama"), {"share": 0.5}
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    write_plan(paths[0], PruningPlan(plan.keep, plan.down), [], "tiny", "en", ["en"], **choice)
    write_distilled(paths[1], plan, [0.5], "tiny", "en", ["en"], **choice, **SETTINGS)
    finished, distilled = read_finished(paths, info, "en", choice, SETTINGS)
    assert not finished.up and len(distilled.up) == 2
    assert read_finished(paths[:1], info, "en", choice, None)[1] is None
    with pytest.raises(BabelscopeError, match=r"share = 0\.5, this run has 0\.6"):
        read_finished(paths, info, "en", {"share": 0.6}, SETTINGS)


def test_validation_has_a_sixth_of_each_language_that_columns_were_not_fitted_to():
    corpora = [make_corpus([5] * 20, n_heldout=2), make_corpus([4] * 14, n_heldout=2, seed=1)]
    corpus, train, held = split_documents(corpora, 12)
    assert len(corpus.heldout) == 18 + 12 and not corpus.heldout.any()
    assert sorted([*train, *held]) == list(range(30))
    of_first, of_second = held[held < 18], held[held >= 18] - 18
    assert (len(of_first), len(of_second)) == (3, 2)
    assert of_first.min() >= 6 and of_second.min() >= 6  # six of each
    np.testing.assert_array_equal(corpus.document(18), corpora[1].document(2))


def test_too_few_documents_to_validate_on_are_an_error():
    corpora = [make_corpus([5] * 20, n_heldout=2)]
    assert len(split_documents(corpora, 15)[2]) == 3
    with pytest.raises(BabelscopeError, match=r"validates on 3 of 18 .*fitted to 16; need more profile doc"):
        split_documents(corpora, 16)
    with pytest.raises(BabelscopeError, match=r"fitted to 18; need"):
        split_documents(corpora, 200)

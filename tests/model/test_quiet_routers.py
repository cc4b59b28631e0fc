"""A family whose routers give no logits: the choice is recorded all the same, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.bent_router import partition_of
from tests.model.test_routers import LENGTHS, record, routed_model
from tests.tiny import make_corpus
from torch import nn

from babelscope.evidence.routing import RoutingSettings, tabulate_routing
from babelscope.model.families import FAMILIES
from babelscope.model.load import StudyModel
from babelscope.pruning.routed import masked_routers, remove_experts
from babelscope.pruning.routed_choice import keep_equally
from babelscope.recording.counts import read_activations, write_activations
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.recording.shards import ShardedLanguage
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest

LOUD = FAMILIES["mixtral"]
assert LOUD.routing is not None
QUIET = replace(LOUD, routing=replace(LOUD.routing, output=("choice", "weights")))


class QuietRouter(nn.Module):
    """Chooses as Mixtral's router does, and gives choice and weights alone."""

    def __init__(self, router: nn.Module) -> None:
        super().__init__()
        self.weight, self.top_k = router.weight, router.top_k

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        top = (x @ self.weight.T).topk(self.top_k, dim=-1)
        return top.indices, top.values.softmax(dim=-1)


class QuietBlock(nn.Module):
    """Mixtral's sparse layer around it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.gate, self.experts = QuietRouter(block.gate), block.experts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        choice, weights = self.gate(rows)
        return self.experts(rows, choice, weights).view(x.shape)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> StudyModel:
    model = routed_model("mixtral").module
    for layer in model.model.layers:
        layer.mlp = QuietBlock(layer.mlp)
    monkeypatch.setitem(FAMILIES, "mixtral", QUIET)
    return StudyModel(model)


def test_choices_and_weights_are_those_of_the_same_routers_with_logits(quiet, monkeypatch):
    corpus = make_corpus(LENGTHS)
    found = record(quiet, corpus)
    monkeypatch.setitem(FAMILIES, "mixtral", LOUD)
    loud = record(routed_model("mixtral"), corpus)
    np.testing.assert_array_equal(found.n_active, loud.n_active)
    np.testing.assert_allclose(found.gate_weight, loud.gate_weight, atol=1e-5)
    assert found.router_entropy is None and loud.router_entropy is not None


def test_the_file_has_no_entropies_and_shards_add_up(quiet, tmp_path: Path):
    corpus, partition = make_corpus(LENGTHS), partition_of(quiet)
    whole = record(quiet, corpus)
    paths = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for path, first in zip(paths, (0, 4), strict=True):
        idx = np.arange(first, first + 4)
        variants = [Variant("main", partition, partition.top_k)]
        part = record_activations(quiet, corpus, idx, variants, RecordingSettings(2, 4)).counts["main"]
        digests = {"experts_sha256": partition.sha256, "documents_sha256": documents_digest(corpus, idx)}
        write_activations(
            path, part, model="tiny", language="en", variant="main", **digests, n_skipped_documents=0
        )
    assert read_activations(paths[0], model="tiny", language="en").router_entropy is None
    merged, _ = ShardedLanguage(corpus, "tiny", "en", 4, 2, 100).merge_counts(paths, "main")
    np.testing.assert_array_equal(merged.n_active, whole.n_active)
    assert merged.router_entropy is None


def test_the_table_has_every_statistic_but_the_routers_entropy(quiet):
    counts = [record(quiet, make_corpus(LENGTHS, seed=seed)) for seed in (0, 1)]
    rows = tabulate_routing(counts, ["en", "fr"], RoutingSettings(0.05, 100, 0))
    statistics = {row["statistic"] for row in rows}
    assert {"load_entropy", "gate_correlation", "common_choices"} <= statistics
    assert "router_entropy" not in statistics


def test_pruned_equals_masked(quiet):
    ids = torch.tensor([[1, 7, 30, 8, 55, 90, 12]])
    keep = keep_equally(np.random.default_rng(0).random((3, 8)), 6)
    with torch.inference_mode():
        dense = quiet.module(input_ids=ids).logits
        with masked_routers(quiet, keep):
            masked = quiet.module(input_ids=ids).logits
        remove_experts(quiet, keep)
        torch.testing.assert_close(quiet.module(input_ids=ids).logits, masked, rtol=0, atol=1e-4)
    assert (masked - dense).abs().max() > 1e-3


def test_weights_that_are_nan_name_family_and_layer(quiet):
    corpus = make_corpus(LENGTHS)
    quiet.routed[1].router.weight[3] = torch.nan
    with pytest.raises(BabelscopeError, match="family mixtral in layer 1 for document"):
        record(quiet, corpus)

"""Every family with routed experts: what is recorded equals an independent choice from the logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.bent_router import partition_of
from tests.tiny import ROUTED_CONFIGS, make_corpus, make_model, save_model

from babelscope.experts.partition import read_any_partition, read_partition, write_partition
from babelscope.experts.routed import RoutedExperts, find_routed_experts
from babelscope.model.checkpoint import check_checkpoint
from babelscope.model.families import FAMILIES, ROUTED_FAMILIES
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel
from babelscope.model.weights import read_rows
from babelscope.recording.counts import ActivationCounts, write_activations
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.recording.shards import ShardedLanguage
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20]
DENSE_LAYERS = {"qwen2_moe": [1], "deepseek_v3": [0], "glm4_moe": [0], "dots1": [0]}


def routed_model(family: str, **changes) -> StudyModel:
    model = make_model(family, **changes)
    for module in model.modules():  # without it corrected scores are the scores
        if hasattr(module, "e_score_correction_bias"):
            module.e_score_correction_bias.copy_(0.3 * torch.randn(len(module.weight)))
    return StudyModel(model)


def record(model: StudyModel, corpus, settings=None, partition=None) -> ActivationCounts:
    partition = partition or partition_of(model)
    idx = np.arange(len(corpus.offsets) - 1)
    variants = [Variant("main", partition, partition.top_k)]
    settings = settings or RecordingSettings(documents_per_block=2, documents_per_segment=4)
    return record_activations(model, corpus, idx, variants, settings).counts["main"]


def choose(config, router, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Experts, weights and entropy of one token, from the router's weights and what entered it."""
    logits = x @ router.weight.T + (router.bias if getattr(router, "bias", None) is not None else 0)
    top_k = config.num_experts_per_tok
    if config.model_type in ("deepseek_v3", "glm4_moe", "dots1"):
        scores = logits.sigmoid()
        shares = scores / scores.sum()
        corrected = scores + router.e_score_correction_bias
        groups = corrected.view(config.n_group, -1)
        best = torch.tensor([sum(sorted(group.tolist())[-2:]) for group in groups]).topk(config.topk_group)
        allowed = torch.zeros_like(groups, dtype=torch.bool)
        allowed[best.indices] = True
        chosen = torch.tensor(
            sorted(range(len(scores)), key=lambda e: (not allowed.flatten()[e], -corrected[e]))[:top_k]
        )
        total = scores[chosen].sum() if config.norm_topk_prob else 1.0
        weights = scores[chosen] / total * config.routed_scaling_factor
    else:
        shares = logits.softmax(0)
        chosen = logits.argsort(descending=True)[:top_k]
        weights = logits[chosen].softmax(0)
        if not getattr(config, "norm_topk_prob", True):
            weights = shares[chosen]
    return chosen, weights, -(shares * shares.log()).sum()


def beginnings(corpus):
    """The first token of a corpus of one document, its first two tokens, and so on."""
    ids = corpus.document(0)
    sizes = np.arange(1, len(ids) + 1)
    return replace(
        corpus,
        token_ids=np.concatenate([ids[:size] for size in sizes]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        heldout=np.zeros(len(ids), dtype=bool),
        n_bytes=np.full(len(ids), 50, dtype=np.int32),
    )


@pytest.mark.parametrize("family", ROUTED_FAMILIES)
def test_recorded_choices_are_the_largest_logits_of_every_token(family):
    # every document is the one before it and one token more, and a block of its own: the counts of two
    # neighbours differ by what was chosen for that token
    model, corpus = routed_model(family), beginnings(make_corpus([14]))
    found = record(model, corpus, RecordingSettings(documents_per_block=1, documents_per_segment=5))
    assert found.n_tokens.tolist() == list(range(1, 15))
    config, routed = model.module.config, model.routed
    assert [layer.number for layer in routed] == [
        i for i in range(3) if i not in DENSE_LAYERS.get(family, [])
    ]
    n_active, gate = np.zeros_like(found.n_active), np.zeros_like(found.gate_weight)
    entropy = np.zeros_like(found.router_entropy)
    inputs = []
    hooks = [
        layer.router.register_forward_pre_hook(lambda _m, args: inputs.append(args[0])) for layer in routed
    ]
    for document in range(len(corpus.offsets) - 1):
        inputs.clear()
        ids = [corpus.bos_token_id, *corpus.document(document).tolist()]
        model.module(input_ids=torch.tensor([ids]))
        for layer, x in zip(routed, inputs, strict=True):
            for token in x.reshape(len(ids), -1)[1:]:
                chosen, weights, own_entropy = choose(config, layer.router, token)
                cell = (document, layer.number)
                n_active[cell][chosen] += 1
                if family != "phimoe":  # its weights are looked at below
                    gate[cell][chosen] += weights.double().numpy()
                entropy[cell] += float(own_entropy)
    for hook in hooks:
        hook.remove()
    np.testing.assert_array_equal(found.n_active, n_active)
    np.testing.assert_allclose(found.router_entropy, entropy, rtol=1e-4, atol=1e-5)
    if family == "phimoe":
        assert (found.gate_weight > 0).sum() == (n_active > 0).sum()
        assert (found.gate_weight <= n_active + 1e-6).all()
    else:
        np.testing.assert_allclose(found.gate_weight, gate, rtol=1e-4, atol=1e-5)
    assert found.n_active.sum() == found.top_k * len(routed) * found.n_tokens.sum()
    assert not any(layer.router._forward_hooks for layer in routed)


@pytest.mark.parametrize("family", ROUTED_FAMILIES)
def test_batches_padding_and_the_way_experts_are_computed_change_no_choice(family):
    model, corpus = routed_model(family), make_corpus(LENGTHS)
    first = None
    for implementation, tokens_per_batch in (("eager", 1), ("grouped_mm", 4096), ("batched_mm", 40)):
        model.module.set_experts_implementation(implementation)
        model.tokens_per_batch = tokens_per_batch
        found = record(model, corpus)
        first = first or found
        np.testing.assert_array_equal(found.n_active, first.n_active)
        np.testing.assert_allclose(found.gate_weight, first.gate_weight, atol=1e-4)


@pytest.mark.parametrize("family", ROUTED_FAMILIES)
def test_routed_experts_are_read_off_the_weights_on_disk(tmp_path: Path, family):
    folder = save_model(tmp_path / "model", family)
    info = describe_model("tiny", folder, n_layers=3)
    check_checkpoint("tiny", folder)
    found = find_routed_experts(info)
    top_k = ROUTED_CONFIGS[family][1]["num_experts_per_tok"]
    dense = DENSE_LAYERS.get(family, [])
    narrow = FAMILIES[family].routing.d_expert == "moe_intermediate_size"
    assert found == RoutedExperts(
        tuple(0 if layer in dense else 8 for layer in range(3)), top_k, 12 if narrow else 24
    )
    write_partition(tmp_path / "experts.h5", found, model="tiny")
    assert read_any_partition(tmp_path / "experts.h5", info) == found
    with pytest.raises(BabelscopeError, match=rf"experts\.method: router.*family {family}"):
        read_partition(tmp_path / "experts.h5", info)


def test_shards_add_up_to_one_recording(tmp_path: Path):
    model, corpus = routed_model("glm4_moe"), make_corpus(LENGTHS)
    whole, partition = record(model, corpus), partition_of(model)
    said = {"model": "tiny", "language": "en", "variant": "main"}
    paths = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for path, first in zip(paths, (0, 4), strict=True):
        idx = np.arange(first, first + 4)
        variants = [Variant("main", partition, partition.top_k)]
        part = record_activations(model, corpus, idx, variants, RecordingSettings(2, 4)).counts["main"]
        digests = {"experts_sha256": partition.sha256, "documents_sha256": documents_digest(corpus, idx)}
        write_activations(path, part, **said, **digests, n_skipped_documents=0)
    shards = ShardedLanguage(corpus, said["model"], said["language"], 4, 2, 100)
    merged, _ = shards.merge_counts(paths, said["variant"])
    np.testing.assert_array_equal(merged.n_active, whole.n_active)
    np.testing.assert_allclose(merged.gate_weight, whole.gate_weight, rtol=1e-6)
    np.testing.assert_allclose(merged.router_entropy, whole.router_entropy, rtol=1e-6)
    assert merged.n_experts_by_layer == whole.n_experts_by_layer and merged.top_k == 3


def test_layers_may_have_different_numbers_of_experts():
    model, corpus = routed_model("mixtral"), make_corpus(LENGTHS)
    layer = model.routed[1]
    layer.router.weight = torch.nn.Parameter(layer.router.weight[:5], requires_grad=False)
    found = record(model, corpus)
    assert found.n_experts_by_layer == (8, 5, 8)
    assert found.n_active[:, 1, 5:].sum() == 0 and found.n_active[:, 1].sum() == 3 * found.n_tokens.sum()


def test_dense_models_have_no_routed_experts_and_routed_ones_are_not_cut(tmp_path: Path):
    info = describe_model("tiny", save_model(tmp_path / "model", "llama"))
    with pytest.raises(BabelscopeError, match=r"model tiny.*family llama has no routed experts"):
        find_routed_experts(info)
    info = describe_model("tiny", save_model(tmp_path / "routed", "mixtral"))
    with pytest.raises(BabelscopeError, match=r"family mixtral has routed experts: use experts\.method"):
        read_rows(info.path, info.family, 0)
    info = describe_model("tiny", save_model(tmp_path / "all_dense", "qwen2_moe", mlp_only_layers=[0, 1, 2]))
    with pytest.raises(BabelscopeError, match="family qwen2_moe: no layer has a router"):
        find_routed_experts(info)


def test_a_router_that_chooses_nothing_is_refused_with_family_and_layer(tmp_path: Path):
    info = describe_model("tiny", save_model(tmp_path / "model", "mixtral", num_experts_per_tok=0))
    with pytest.raises(BabelscopeError, match="family mixtral: the router of layer 0 chooses 0 of 8"):
        find_routed_experts(info)
    model = routed_model("mixtral")
    model.routed[2].router.top_k = 0
    with pytest.raises(BabelscopeError, match="family mixtral, layer 2: the router chose 0 experts"):
        record(model, make_corpus(LENGTHS))


def test_a_partition_of_another_model_is_refused_with_family_and_layer():
    model = routed_model("mixtral")
    other = replace(partition_of(model), n_experts_by_layer=(8, 4, 8))
    with pytest.raises(BabelscopeError, match="family mixtral, layer 1"):
        record(model, make_corpus(LENGTHS), partition=other)


@pytest.mark.parametrize("family", ["olmoe", "glm4_moe", "granitemoe"])
def test_nan_logits_name_family_and_layer_or_leave_the_document_out(family):
    model, corpus = routed_model(family), make_corpus(LENGTHS)
    clean = record(model, corpus)
    word = int(corpus.document(4)[0])
    others = [i for i in range(8) if word not in corpus.document(i)]
    model.module.get_input_embeddings().weight[word] = torch.nan
    with pytest.raises(BabelscopeError, match=f"router logits of family {family} in layer [01] for document"):
        record(model, corpus)
    found = record(model, corpus, RecordingSettings(1, 4, on_nonfinite="skip"))
    np.testing.assert_array_equal(np.flatnonzero(found.n_tokens), others)
    assert 0 < found.n_tokens.sum() < clean.n_tokens.sum()
    assert np.isfinite(found.gate_weight).all() and np.isfinite(found.router_entropy).all()

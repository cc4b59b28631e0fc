"""Planted truth: a router is bent to send one language's tokens to two experts; the study finds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.model.test_routers import partition_of
from tests.tiny import make_model

from babelscope.evidence.draws import shuffle_languages
from babelscope.evidence.specificity import index_experts, most_specific
from babelscope.model.load import StudyModel
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.study.languages import Language
from babelscope.text.tokens import TokenizedCorpus

LANGUAGES = [Language(code, code, code, code, code, code, code) for code in ("aa", "bb", "cc")]
PLANTED = (5, 6)  # experts of the first layer that are the last language's
N_BLOCKS, TOKENS = 24, 40


def corpus_of(words: np.ndarray, seed: int) -> TokenizedCorpus:
    rng = np.random.default_rng(seed)
    offsets = np.arange(N_BLOCKS + 1, dtype=np.int64) * TOKENS
    ids = rng.choice(words, N_BLOCKS * TOKENS).astype(np.int32)
    flags = np.zeros(N_BLOCKS, dtype=bool)
    return TokenizedCorpus(ids, offsets, flags, np.full(N_BLOCKS, 9, dtype=np.int32), 1)


@pytest.fixture(scope="module")
def recordings():
    """Languages draw from the same words, but two thirds of the last one's are its own; those are bent."""
    model = StudyModel(make_model("mixtral", seed=1))
    shared, own = np.arange(3, 63), np.arange(63, 93)
    embeddings = model.module.get_input_embeddings().weight
    direction = torch.zeros(embeddings.shape[1])
    direction[0] = 1.0
    embeddings[:, 0] = 0.0
    embeddings[torch.from_numpy(own)] += 60.0 * direction
    model.blocks[0].self_attn.o_proj.weight[0] = 0.0  # attention adds nothing to the direction
    router = model.routed[0].router
    router.weight[:, 0] = 0.0
    router.weight[list(PLANTED), 0] = 40.0
    partition = partition_of(model)
    model.tokens_per_batch = 4096
    found = []
    for seed in range(3):
        words = np.concatenate([shared[::4], own]) if seed == 2 else shared
        variants = [Variant("main", partition, partition.top_k)]
        recording = record_activations(
            model, corpus_of(words, seed), np.arange(N_BLOCKS), variants, RecordingSettings(1, N_BLOCKS)
        )
        found.append(recording.counts["main"])
    return found


def test_the_planted_experts_are_the_most_specific_ones_and_the_others_have_none(recordings):
    index = index_experts(recordings, LANGUAGES, threshold=0.05)
    first = index.layer == 0
    for expert in PLANTED:
        at = int(np.flatnonzero(first & (index.expert == expert))[0])
        assert index.top[at] == 2 and index.q_value[at] < 0.001 and index.low[at] > 0.05
    named = most_specific(index, 2, 100)
    assert set(index.expert[[at for at in named if first[at]][:2]]) == set(PLANTED)
    # the others draw from the same words: nothing tells them from each other
    assert len(most_specific(index, 0, 100)) + len(most_specific(index, 1, 100)) == 0


def test_shuffled_labels_find_no_expert_more_often_than_the_stated_rate(recordings):
    """With nothing to find, a false discovery rate of 5 % means: in at most 5 % of the studies anything."""
    n_found = 0
    for seed in range(100):
        index = index_experts(shuffle_languages(recordings, seed), LANGUAGES, threshold=0.05)
        n_found += bool((index.q_value <= 0.05).any())
    assert n_found <= 11  # 5 of 100 are expected; more than 11 have a chance below one in a hundred

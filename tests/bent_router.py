"""A model whose router sends some words to two experts, and languages that have them: for tests alone."""

from __future__ import annotations

import numpy as np
import torch
from tests.tiny import make_model

from babelscope.experts.routed import RoutedExperts
from babelscope.model.load import StudyModel
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.study.languages import Language
from babelscope.text.tokens import TokenizedCorpus

LANGUAGES = [Language(code, code, code, code, code, code, code) for code in ("aa", "bb", "cc")]
PLANTED = (5, 6)  # experts of the first layer that are the last language's
SHARED, OWN = np.arange(3, 63), np.arange(63, 93)
N_BLOCKS, TOKENS = 24, 40


def corpus_of(share: float, rng: np.random.Generator) -> TokenizedCorpus:
    """Random words that all languages have, and in their place a share of words of the bent router."""
    n_tokens = N_BLOCKS * TOKENS
    ids = np.where(rng.random(n_tokens) < share, rng.choice(OWN, n_tokens), rng.choice(SHARED, n_tokens))
    offsets = np.arange(N_BLOCKS + 1, dtype=np.int64) * TOKENS
    flags = np.zeros(N_BLOCKS, dtype=bool)
    return TokenizedCorpus(ids.astype(np.int32), offsets, flags, np.full(N_BLOCKS, 9, dtype=np.int32), 1)


def bent_model() -> StudyModel:
    """A random model whose first router sends the words ``OWN`` to the experts ``PLANTED``."""
    model = StudyModel(make_model("mixtral", seed=1))
    embeddings = model.module.get_input_embeddings().weight
    direction = torch.zeros(embeddings.shape[1])
    direction[0] = 1.0
    embeddings[:, 0] = 0.0
    embeddings[torch.from_numpy(OWN)] += 60.0 * direction
    model.blocks[0].self_attn.o_proj.weight[0] = 0.0  # attention adds nothing to the direction
    router = model.routed[0].router
    router.weight[:, 0] = 0.0
    router.weight[list(PLANTED), 0] = 40.0
    model.tokens_per_batch = 4096
    return model


def record_languages(model: StudyModel, share: float, seed: int) -> list[ActivationCounts]:
    """Recordings of ``LANGUAGES``: they draw from the same words, but some of the last one's are its own."""
    partition, rng = partition_of(model), np.random.default_rng(seed)
    variants = [Variant("main", partition, partition.top_k)]
    found = []
    for own in (0.0, 0.0, share):
        asked = (np.arange(N_BLOCKS), variants, RecordingSettings(1, N_BLOCKS))
        found.append(record_activations(model, corpus_of(own, rng), *asked).counts["main"])
    return found


def partition_of(model: StudyModel) -> RoutedExperts:
    counts = [0] * len(model.blocks)
    for layer in model.routed:
        counts[layer.number] = layer.n_experts
    return RoutedExperts(tuple(counts), model.module.config.num_experts_per_tok, 12)

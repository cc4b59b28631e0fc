"""A Llama of four layers whose neurons for languages and topics are known: written by hand, for tests alone.

Each word belongs to one language and one topic; its embedding says which. In every layer a few neurons read
the direction of a language and write towards the words of that language, a few do so for a topic, which all
languages share, and the others are noise. There is no attention: language and topic alone foretell a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from babelscope.text.tokens import TokenizedCorpus

LANGUAGES, N_TOPICS = ("en", "fr", "hi"), 2
N_LAYERS, D_FF, N_EXPERTS, PLANTED = 4, 128, 32, 4  # neurons planted per layer, language and topic
WORDS, SPECIAL = 20, 4  # words of a language and topic; the first tokens are special
N_GROUPS = len(LANGUAGES) + N_TOPICS
N_TOKENS = SPECIAL + WORDS * len(LANGUAGES) * N_TOPICS
D_MODEL = 48


@dataclass(frozen=True)
class Planted:
    """``folder`` of the model; planted neurons ``of_language``, ``of_topic``, bool (n, n_layers, d_ff)."""

    folder: Path
    of_language: np.ndarray
    of_topic: np.ndarray


def plant(folder: Path, seed: int = 0) -> Planted:
    """Write the model into a folder."""
    config = transformers.LlamaConfig(
        vocab_size=N_TOKENS,
        hidden_size=D_MODEL,
        intermediate_size=D_FF,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(config).float()
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(D_MODEL, D_MODEL)))[0]
    reads, writes, rest = axes[:N_GROUPS], axes[N_GROUPS : 2 * N_GROUPS], axes[2 * N_GROUPS :]
    language, topic = groups_of(np.arange(N_TOKENS))
    own = 4 * rng.normal(size=(N_TOKENS, len(rest))) @ rest / len(rest) ** 0.5
    words = np.arange(N_TOKENS) >= SPECIAL
    embeddings, head = own.copy(), np.zeros_like(own)
    for number, group in ((language, 0), (topic, len(LANGUAGES))):
        embeddings[words] += 2 * reads[group + number[words]]
        head[words] += 3 * writes[group + number[words]]
    members = np.zeros((N_GROUPS, N_LAYERS, D_FF), dtype=bool)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.from_numpy(embeddings))
        model.lm_head.weight.copy_(torch.from_numpy(head))
        for number, layer in enumerate(model.model.layers):
            layer.self_attn.o_proj.weight.zero_()
            gate, up, down = (size * rng.normal(size=(D_FF, D_MODEL)) for size in (0.05, 0.05, 0.001))
            place = rng.permutation(D_FF)
            for group in range(N_GROUPS):
                idx = place[group * PLANTED : (group + 1) * PLANTED]
                members[group, number, idx] = True
                rivals = _rivals(group)
                gate[idx] += reads[group] - 0.3 * reads[rivals].sum(axis=0)
                up[idx] += reads[group]
                down[idx] += 0.01 * writes[group]
            for weight, rows in (
                (layer.mlp.gate_proj, gate),
                (layer.mlp.up_proj, up),
                (layer.mlp.down_proj, down.T),
            ):
                weight.weight.copy_(torch.from_numpy(rows))
    model.save_pretrained(folder)
    return Planted(folder, members[: len(LANGUAGES)], members[len(LANGUAGES) :])


def _rivals(group: int) -> list[int]:
    """The other languages of a language, the other topics of a topic."""
    languages = range(len(LANGUAGES))
    own = languages if group in languages else range(len(LANGUAGES), N_GROUPS)
    return [other for other in own if other != group]


def groups_of(token_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Language and topic of words, int64; what it says of special tokens means nothing."""
    group = np.maximum(token_ids - SPECIAL, 0) // WORDS
    return group // N_TOPICS, group % N_TOPICS


def write_text(
    language: int, n_documents: int = 120, n_heldout: int = 20, length: int = 12
) -> TokenizedCorpus:
    """Documents in one language, each of one topic, as many of either."""
    rng = np.random.default_rng([language, 7])
    topic = np.arange(n_documents) % N_TOPICS
    first = SPECIAL + WORDS * (language * N_TOPICS + topic)
    ids = first[:, None] + rng.integers(WORDS, size=(n_documents, length))
    return TokenizedCorpus(
        token_ids=ids.ravel().astype(np.int32),
        offsets=np.arange(n_documents + 1, dtype=np.int64) * length,
        heldout=np.arange(n_documents) < n_heldout,
        n_bytes=np.full(n_documents, 5 * length, dtype=np.int32),
        bos_token_id=1,
    )


def flip_signs(model: torch.nn.Module, neurons: np.ndarray) -> None:
    """Flip up row and down column of some neurons, bool (n_layers, d_ff): the model computes the same."""
    with torch.no_grad():
        for layer, mask in zip(model.model.layers, neurons, strict=True):
            layer.mlp.up_proj.weight[mask] *= -1
            layer.mlp.down_proj.weight[:, mask] *= -1

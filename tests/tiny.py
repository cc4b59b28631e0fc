"""Tiny random models of every family and random documents: for tests alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

D_FF, D_MODEL, N_LAYERS = 24, 16, 3
SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": D_MODEL,
    "intermediate_size": D_FF,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
OPT_NAMES = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 2,
    "ffn_dim": D_FF,
    "word_embed_proj_dim": D_MODEL,
}
XGLM_NAMES = {"d_model": D_MODEL, "num_layers": N_LAYERS, "attention_heads": 2, "ffn_dim": D_FF}
# model_type: class of the configuration, and what it needs beside SMALL
FAMILY_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "mistral": ("MistralConfig", GROUPED | {"sliding_window": 8}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 1}),
    "qwen3": ("Qwen3Config", GROUPED),
    "gemma": ("GemmaConfig", GROUPED),
    "gemma2": ("Gemma2Config", GROUPED | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "gemma3_text": ("Gemma3TextConfig", GROUPED | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "phi3": ("Phi3Config", {"num_key_value_heads": 1}),
    "bloom": ("BloomConfig", {"n_layer": N_LAYERS, "n_head": 2, "intermediate_size": None}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "opt": ("OPTConfig", OPT_NAMES),
    "xglm": ("XGLMConfig", XGLM_NAMES),
}
WORDS = [f"word{number}" for number in range(92)]


def make_model(family: str, seed: int = 0, **changes: Any) -> torch.nn.Module:
    """A tiny random model of a family with its output layer, float32, in evaluation mode."""
    import transformers

    name, more = FAMILY_CONFIGS[family]
    settings = {k: v for k, v in (SMALL | more | changes).items() if v is not None}
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**settings))
    # biases and norms start at constants: give them values, so that forgetting one shows
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        else:
            parameter.data.mul_(8.0)
    model.tie_weights()
    return model.float().eval().requires_grad_(False)


def save_model(folder: Path, family: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """A tiny random model and a real word tokenizer in a folder, as a user would have them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    make_model(family, seed, **changes).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"add_bos_token": True}))
    return folder


def make_corpus(lengths: list[int], n_heldout: int = 0, seed: int = 0, bos: int = 1):
    """Random documents of given lengths as a ``TokenizedCorpus``; the first ones are held out."""
    from babelscope.text.tokens import TokenizedCorpus

    rng = np.random.default_rng(seed)
    return TokenizedCorpus(
        token_ids=rng.integers(3, 96, sum(lengths)).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.arange(len(lengths)) < n_heldout,
        n_bytes=np.full(len(lengths), 50, dtype=np.int32),
        bos_token_id=bos,
    )

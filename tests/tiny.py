"""Tiny random models of every family, their tokenizer, and random text: for tests alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

D_FF, D_MODEL, N_LAYERS, N_TOKENS = 24, 16, 3, 320
PAD, BOS, EOS, UNK = range(4)
SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": D_MODEL,
    "intermediate_size": D_FF,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}
GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
OPT_NAMES = {
    "hidden_size": D_MODEL,
    "num_attention_heads": 2,
    "ffn_dim": D_FF,
    "word_embed_proj_dim": D_MODEL,
}
XGLM_NAMES = {"d_model": D_MODEL, "attention_heads": 2, "ffn_dim": D_FF}
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
    "bloom": ("BloomConfig", {"n_head": 2, "intermediate_size": None}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "opt": ("OPTConfig", OPT_NAMES),
    "xglm": ("XGLMConfig", XGLM_NAMES),
}
# Families with routed experts: eight in a layer, of which two or three are chosen.
CHOICE = {"num_experts_per_tok": 3}
LOCAL = CHOICE | {"num_local_experts": 8}
NARROW = {"moe_intermediate_size": 12}
LATENT = {"kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
FIRST_DENSE = {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1} | NARROW | CHOICE
ROUTED_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("MixtralConfig", GROUPED | LOCAL),
    "qwen2_moe": (
        "Qwen2MoeConfig",
        {"num_key_value_heads": 1, "num_experts": 8, "mlp_only_layers": [1]}
        | {"shared_expert_intermediate_size": 20}
        | NARROW
        | CHOICE,
    ),
    "qwen3_moe": ("Qwen3MoeConfig", GROUPED | NARROW | CHOICE | {"num_experts": 8}),
    "olmoe": ("OlmoeConfig", {"num_key_value_heads": 1, "num_experts": 8} | CHOICE),
    "gpt_oss": ("GptOssConfig", GROUPED | LOCAL | {"sliding_window": 8}),
    "phimoe": ("PhimoeConfig", {"num_key_value_heads": 1} | LOCAL | {"num_experts_per_tok": 2}),
    "deepseek_v3": (
        "DeepseekV3Config",
        {"num_key_value_heads": 2, "q_lora_rank": 8, "n_group": 2, "topk_group": 1} | LATENT | FIRST_DENSE,
    ),
    "glm4_moe": ("Glm4MoeConfig", GROUPED | FIRST_DENSE | {"n_group": 1, "topk_group": 1}),
    "flex_olmo": ("FlexOlmoConfig", {"num_key_value_heads": 1, "num_experts": 8} | CHOICE),
    "dots1": ("Dots1Config", GROUPED | FIRST_DENSE | {"n_group": 2, "topk_group": 1}),
    "granitemoe": ("GraniteMoeConfig", {"num_key_value_heads": 1} | LOCAL),
    "granitemoeshared": (
        "GraniteMoeSharedConfig",
        {"num_key_value_heads": 1, "shared_intermediate_size": 12} | LOCAL,
    ),
}
# Where a family names its depth in its own way.
DEPTH = {"bloom": "n_layer", "xglm": "num_layers"}


def make_model(family: str, seed: int = 0, n_layers: int = N_LAYERS, **changes: Any) -> torch.nn.Module:
    """A tiny random model of a family with its output layer, float32, in evaluation mode."""
    import transformers

    name, more = (FAMILY_CONFIGS | ROUTED_CONFIGS)[family]
    depth = {DEPTH.get(family, "num_hidden_layers"): n_layers}
    settings = {k: v for k, v in (SMALL | more | depth | changes).items() if v is not None}
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


def make_text(language: str, n_lines: int, *, seed: int = 0) -> list[str]:
    """Sentences, all different, of a made-up vocabulary of a language: its letters say which script."""
    first = {"hi": 0x0905, "ar": 0x0627, "ru": 0x0430, "bn": 0x0985}.get(language, ord("a"))
    rng = random.Random(f"{language} {seed}")
    letters = [chr(first + i) for i in range(20)]
    words = ["".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(60)]
    return [f"{i} {' '.join(rng.choices(words, k=rng.randint(3, 9)))}." for i in range(n_lines)]


def make_tokenizer(folder: Path, *, bos: bool = True) -> int:
    """Train a tiny byte-level BPE tokenizer on a few lines and save it; return its number of tokens."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(make_text("en", 20) + make_text("hi", 20), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), special, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": bos, **names}
    settings |= {} if bos else {"bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return tokenizer.get_vocab_size()


def save_model(
    folder: str | Path, family: str = "llama", seed: int = 0, *, bos: bool = True, **changes: Any
) -> Path:
    """A tiny random model and its tokenizer in a folder, as a user would have them.

    Parameters
    ----------
    folder : made where it does not exist.
    bos : False: the tokenizer has no BOS token.
    changes : ``n_layers``, and further entries of the model's config.
    """
    folder = Path(folder)
    make_tokenizer(folder, bos=bos)
    make_model(family, seed, **({"vocab_size": N_TOKENS} | changes)).save_pretrained(folder)
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

"""Model and text of the paper's size, made on this machine: only speed and memory mean something."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

LANGUAGES = ["en", "fr", "es", "pt", "bn", "ur", "hi", "ar", "zh"]


def make_text(folder: Path, n_documents: int, sentences: Path) -> None:
    """Documents of about 200 tokens for each language, drawn from the packaged sentences."""
    by_language: dict[str, list[str]] = {}
    for line in sentences.read_text(encoding="utf-8").splitlines():
        language, _, sentence = line.partition("\t")
        if sentence:
            by_language.setdefault(language, []).append(sentence)
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        known = by_language[language]
        lines = (
            json.dumps(
                {"text": " ".join(rng.sample(known, 12 if language == "zh" else 8))}, ensure_ascii=False
            )
            for _ in range(n_documents)
        )
        (folder / f"{language}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


# Class of the configuration, and what differs from its defaults.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-7b": (
        "LlamaConfig",
        {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
        },
    ),
    "olmoe-1b-7b": ("OlmoeConfig", {"intermediate_size": 1024, "pad_token_id": None}),
}


def make_model(folder: Path, sentences: Path, shape: str = "llama-7b") -> None:
    """A model of a row of ``SHAPES``, random bfloat16 weights (13 to 14 GB), and a tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=32000, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    rows = (line.split("\t") for line in sentences.read_text(encoding="utf-8").splitlines() if "\t" in line)
    tokenizer.train_from_iterator((row[1] for row in rows if row[0] in LANGUAGES), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    name, settings = SHAPES[shape]
    ids = {"vocab_size": 32000, "bos_token_id": 0, "eos_token_id": 1}
    config = getattr(transformers, name)(**settings, **ids, dtype="bfloat16")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder, max_shard_size="5GB")

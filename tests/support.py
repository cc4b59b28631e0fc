"""Tiny random models, small texts and whole studies for the tests. Random weights: for tests alone."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
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
WORDS = {
    "en": "the a cat dog house tree river sees likes near big small old green runs to from with".split(),
    "fr": "le la un chat chien maison arbre fleuve voit aime grand petit vieux vert court vers".split(),
    "de": "der die das ein Hund Katze Haus Baum Fluss sieht mag gross klein alt rennt nach von".split(),
}


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

    words = ["<pad>", "<s>", "</s>", "<unk>", *sorted(set(sum(WORDS.values(), [])))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    make_model(family, seed, **changes).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def write_texts(folder: Path, languages: list[str], n_documents: int = 40) -> None:
    """One text file a language, different sentences of its words."""
    folder.mkdir(parents=True, exist_ok=True)
    for language in languages:
        rng = random.Random(language)
        lines = [" ".join(rng.choices(WORDS[language], k=rng.randint(4, 12))) for _ in range(n_documents)]
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_corpus(lengths: list[int], n_heldout: int = 0, seed: int = 0, bos: int = 1):
    """Random documents of given lengths as a ``TokenizedCorpus``; the first ones are held out."""
    from babelscope.containers import TokenizedCorpus

    rng = np.random.default_rng(seed)
    return TokenizedCorpus(
        token_ids=rng.integers(3, 96, sum(lengths)).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.arange(len(lengths)) < n_heldout,
        n_bytes=np.full(len(lengths), 50, dtype=np.int32),
        bos_token_id=bos,
    )


def make_study(folder: Path, languages: tuple[str, ...] = ("en", "fr"), **changes: Any) -> Path:
    """A copy of the workflow in a folder, with a tiny model, small texts and ``overlay.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for part in ("rules", "workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    save_model(folder / "tiny", "gemma3_text")
    write_texts(folder / "texts", list(WORDS))
    overlay: dict[str, Any] = {
        "models": ["tiny"],
        "languages": list(languages),
        "model_definitions": {"tiny": {"source": {"path": "tiny"}, "n_layers": N_LAYERS}},
        "corpus": {
            "profile_documents": 20,
            "heldout_documents": 6,
            "min_characters": 5,
            "sources": {"default": {"files": "texts/{lang}.txt"}},
        },
        "experts": {"n_experts": 6},
        "recording": {"documents_per_block": 5, "documents_per_segment": 10},
    }
    for key, value in changes.items():
        overlay[key] = overlay[key] | value if isinstance(overlay.get(key), dict) else value
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    return folder


def run_snakemake(folder: Path, *args: str, cores: int = 2) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a study's folder with its overlay; output as text, standard error with it."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", "overlay.yaml", *args],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )


def planned_jobs(folder: Path, *args: str) -> set[tuple[str, tuple[str, ...]]]:
    """The jobs of a dry run, each as its rule and the values of its wildcards."""
    result = run_snakemake(folder, "--dry-run", *args)
    assert result.returncode == 0, result.stdout
    jobs = set()
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", result.stdout)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)[1]
        found = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
        values = tuple(part.split("=", 1)[1] for part in found[1].split(", ")) if found else ()
        jobs.add((rule, values))
    return jobs


def edit_overlay(folder: Path, **changes: Any) -> None:
    """Change top-level keys of a study's overlay; mappings are merged one level deep."""
    path = folder / "overlay.yaml"
    overlay = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        overlay[key] = overlay[key] | value if isinstance(overlay.get(key), dict) else value
    path.write_text(yaml.safe_dump(overlay), encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

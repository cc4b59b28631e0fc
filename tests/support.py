"""Tiny random models and tiny studies, for tests alone: nothing that they measure means anything."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ANNOTATION_TEMPLATE = (ROOT / "resources" / "templates" / "annotation.html").read_text(encoding="utf-8")
WORKFLOW_PARTS = ("Snakefile", "rules", "workflow", "config", "resources", "profiles", "envs")
BOS, EOS, PAD, UNK = range(4)

_SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.2,
}
# Where a family names a size in its own way.
_FAMILY_SIZES: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 16, "n_head": 2, "initializer_range": 0.2},
    "gpt_neox": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "initializer_range": 0.2,
    },
    "opt": {
        "hidden_size": 16,
        "word_embed_proj_dim": 16,
        "ffn_dim": 24,
        "num_attention_heads": 2,
        "init_std": 0.2,
    },
    "xglm": {"d_model": 16, "ffn_dim": 24, "attention_heads": 2, "init_std": 0.2},
}
_DEPTH_KEY = {"bloom": "n_layer", "xglm": "num_layers"}

# A job is its rule and its wildcards, sorted: ("tokenize_corpus", "lang=de model=tiny").
Job = tuple[str, str]


def make_tokenizer(folder: Path, *, bos: bool = True) -> int:
    """Train a tiny byte-level BPE tokenizer on a few lines and save it; return its number of tokens."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(make_text("en", 20) + make_text("hi", 20), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("bos_token", "eos_token", "pad_token", "unk_token"), special, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": bos, **names}
    settings |= {} if bos else {"bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return tokenizer.get_vocab_size()


def make_tiny_model(
    folder: str | Path,
    family: str = "llama",
    *,
    n_layers: int = 2,
    seed: int = 0,
    bos: bool = True,
    **config: Any,
) -> Path:
    """Save a random transformers model of a family with a tokenizer of its own.

    d_model is 16 and d_ff 24 (BLOOM: 64). Biases and norms are random too, so that leaving one out shows.

    Parameters
    ----------
    folder : made where it does not exist.
    family : a ``model_type`` of ``babelscope.model.families.FAMILIES``.
    n_layers, seed : depth, and seed of the weights.
    bos : False: the tokenizer has no BOS token.
    config : further entries of the model's config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = Path(folder)
    options: dict[str, Any] = {
        **_FAMILY_SIZES.get(family, _SIZES),
        _DEPTH_KEY.get(family, "num_hidden_layers"): n_layers,
        "vocab_size": make_tokenizer(folder, bos=bos),
        "max_position_embeddings": 128,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        **config,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options))
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    model.eval().save_pretrained(folder)
    return folder


def make_text(language: str, n_lines: int, *, seed: int = 0) -> list[str]:
    """Sentences, all different, of a made-up vocabulary of a language: its letters say which script."""
    first = {"hi": 0x0905, "ar": 0x0627, "ru": 0x0430, "bn": 0x0985}.get(language, ord("a"))
    rng = random.Random(f"{language} {seed}")
    letters = [chr(first + i) for i in range(20)]
    words = ["".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(60)]
    return [f"{i} {' '.join(rng.choices(words, k=rng.randint(3, 9)))}." for i in range(n_lines)]


def make_study(
    folder: str | Path,
    languages: Sequence[str] = ("en", "fr"),
    *,
    family: str = "llama",
    more_texts: Sequence[str] = (),
    n_lines: int = 40,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A copy of the workflow whose configuration is a tiny model and small files of text.

    The model is in ``tiny-model``, the text in ``text/{lang}.txt``. The configuration is the default one with
    changes, written to ``config/config.yaml``, so that plain ``snakemake`` in the folder runs the study.

    Parameters
    ----------
    folder : must not exist, or be empty.
    languages : codes of resources/languages.tsv to study.
    family : of the tiny model.
    more_texts : languages with a file of text that are not studied yet.
    n_lines : lines of each file of text.
    config : further changes, merged key by key; None removes a key.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part in WORKFLOW_PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    make_tiny_model(folder / "tiny-model", family)
    (folder / "text").mkdir()
    for language in (*languages, *more_texts):
        text = "\n".join(make_text(language, n_lines)) + "\n"
        (folder / "text" / f"{language}.txt").write_text(text, encoding="utf-8")
    settings = yaml.safe_load((folder / "config" / "config.yaml").read_text(encoding="utf-8"))
    tiny = {
        "models": ["tiny"],
        "languages": list(languages),
        "model_definitions": {"tiny": {"source": {"path": "tiny-model"}, "n_layers": 2}},
        "corpus": {
            "profile_documents": 20,
            "heldout_documents": 5,
            "min_characters": 5,
            "max_tokens": 30,
        },
        "experts": {"n_experts": 8},
        "recording": {"top_fraction": 0.25, "documents_per_block": 5, "documents_per_segment": 10},
        "pruning": {"compensation_documents": 10},
        "figures": {"dpi": 40},
    }
    settings = merged(settings, tiny)
    settings["corpus"]["sources"] = {"default": {"files": "text/{lang}.txt"}}
    write_config(folder, merged(settings, config or {}))
    return folder


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes, merged key by key; None removes a key."""
    result = deepcopy(dict(settings))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


def read_config(folder: str | Path) -> dict[str, Any]:
    """The configuration of a study made by ``make_study``."""
    return yaml.safe_load((Path(folder) / "config" / "config.yaml").read_text(encoding="utf-8"))


def write_config(folder: str | Path, settings: Mapping[str, Any]) -> None:
    """Write the configuration of a study."""
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    (Path(folder) / "config" / "config.yaml").write_text(text, encoding="utf-8")


def change_config(folder: str | Path, changes: Mapping[str, Any]) -> None:
    """Change the configuration of a study in place."""
    write_config(folder, merged(read_config(folder), changes))


def run_snakemake(
    folder: str | Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``snakemake`` in a study, by default on two cores; standard output and error come together.

    Parameters
    ----------
    args : of snakemake; ``--cores 2`` stands before them.
    env : additions to the environment.
    check : True: raise AssertionError with the output where the exit code is not 0.
    """
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *args],
        cwd=folder,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=timeout,
    )
    if check and result.returncode:
        command = " ".join(["snakemake", *args])
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout[-4000:]}")
    return result


def job(rule: str, **wildcards: str) -> Job:
    """One job, as ``jobs_of`` gives it."""
    return rule, " ".join(f"{name}={value}" for name, value in sorted(wildcards.items()))


@dataclass(frozen=True)
class PlannedJob:
    """One job of a dry run with its files; target rules (``all``, ``full``) are left out."""

    job: Job
    inputs: frozenset[str]
    outputs: frozenset[str]


def plan_of(dry_run: str) -> list[PlannedJob]:
    """The jobs that the output of ``snakemake --dry-run`` announces."""
    plan: list[PlannedJob] = []
    for block in re.split(r"\n(?=(?:local)?(?:rule|checkpoint) \w+:)", dry_run)[1:]:
        rule = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block)[1]
        found = dict(re.findall(r"^    (input|output|wildcards): (.*)$", block, re.MULTILINE))
        parts = {name: values.split(", ") for name, values in found.items()}
        wildcards = dict(pair.split("=", 1) for pair in parts.get("wildcards", []))
        files = (frozenset(parts.get(name, [])) for name in ("input", "output"))
        if rule not in ("all", "full"):
            plan.append(PlannedJob(job(rule, **wildcards), *files))
    return plan


def jobs_of(dry_run: str) -> set[Job]:
    """The jobs that the output of ``snakemake --dry-run`` announces, without target rules."""
    return {planned.job for planned in plan_of(dry_run)}


def whole_plan(folder: str | Path, *args: str) -> list[PlannedJob]:
    """All jobs of the study, whether or not they would run now."""
    return plan_of(run_snakemake(folder, "--dry-run", "--forceall", *args, check=True).stdout)


def with_followers(plan: Sequence[PlannedJob], starts: Collection[Job]) -> set[Job]:
    """Some jobs of a plan and all that read, directly or through others, what they make."""
    done: set[Job] = set()
    made: set[str] = set()
    while new := [p for p in plan if p.job not in done and (p.job in starts or p.inputs & made)]:
        done.update(planned.job for planned in new)
        made.update(*(planned.outputs for planned in new))
    return done


def planned_jobs(folder: str | Path, *args: str) -> set[Job]:
    """The jobs that a run with these arguments would do now."""
    return jobs_of(run_snakemake(folder, "--dry-run", *args, check=True).stdout)


def assert_same_results(study: str | Path, other: str | Path, under: str = "results") -> None:
    """Every table and every dataset of one study is that of another; what holds times is left out."""
    folders = [Path(folder) / under for folder in (study, other)]
    names = [
        sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix in (".h5", ".csv")
        )
        for folder in folders
    ]
    assert names[0] == names[1]
    for name in names[0]:
        a, b = (folder / name for folder in folders)
        if name.endswith(".h5"):
            assert_same_datasets(a, b)
        elif not name.endswith("pruning_speed.csv"):
            assert _without_times(a) == _without_times(b), name


def assert_same_datasets(path: Path, other: Path) -> None:
    """Two HDF5 files hold the same, bit for bit, but for the seconds that their making took."""
    import h5py
    import numpy as np

    with h5py.File(path) as a, h5py.File(other) as b:
        assert set(a) == set(b), path
        for name in set(a) - {"seconds"}:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=f"{path}: {name}")


def _without_times(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "tokens a second" not in line]

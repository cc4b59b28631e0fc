"""Train a small mixture of experts on the packaged sentences, so that there is a trained one to look at.

    python benchmarks/train_moe.py                                  # minutes on a GPU, hours on two cores
    python benchmarks/train_moe.py --steps 60 --layers 2            # does it run? a minute on two cores
    snakemake --cores all --configfile config/moe.yaml --directory results/moe

The model has OLMoE's architecture, about 10 million parameters, and a byte-level BPE tokenizer of its own. It
has read some hundred sentences of each of twelve languages many times: it is a model to test methods on,
nothing else. Under ``--out`` there are ``step_{n}/`` (checkpoints that plain ``from_pretrained`` loads),
``text/{lang}.txt`` (sentences that training never saw, for the study), ``log.csv`` (losses by step and
language) and ``state.pt``: a training that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import importlib.metadata
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

LANGUAGES = ("en", "de", "fr", "it", "pt", "ru", "hi", "ur", "bn", "ar", "tr", "zh")
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
PAD, BOS, EOS = range(3)
LENGTH = 128  # of a row: sentences of one language behind each other
# Of a hundred sentences: to train on, to measure the training on; the others are for the study.
TRAINED, WATCHED = 60, 4


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    parts = split_sentences(args.sentences or packaged_sentences())
    write_study_texts(args.out / "text", parts)
    tokenizer = train_tokenizer(args.out / "tokenizer.json", parts, args.vocabulary)
    train(args, parts, tokenizer)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/moe_model"))
    parser.add_argument("--sentences", type=Path, help="sentences.txt of eld; left out: the installed one")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument(
        "--keep", type=int, nargs="*", default=[0, 10, 30, 100, 300, 1000], help="checkpoints to keep"
    )
    parser.add_argument("--rows", type=int, default=16, help=f"rows of {LENGTH} tokens in a batch")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--expert-width", type=int, default=96)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the load-balancing loss")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after; run again to go on")
    parser.add_argument(
        "--implementation", default="eager", help="of the experts, as transformers names them"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def packaged_sentences() -> Path:
    """sentences.txt of the installed package ``eld``."""
    files = importlib.metadata.files("eld") or []
    return next(Path(str(f.locate())) for f in files if str(f).endswith("benchmarks/sentences.txt"))


def split_sentences(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sentences by part (``trained``, ``watched``, ``study``) and language; their bytes decide the part."""
    parts: dict[str, dict[str, list[str]]] = {
        name: {code: [] for code in LANGUAGES} for name in ("trained", "watched", "study")
    }
    for line in dict.fromkeys(path.read_text(encoding="utf-8").splitlines()):
        code, _, sentence = line.partition("\t")
        if code in LANGUAGES and sentence.strip():
            lot = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:4], "big") % 100
            part = "trained" if lot < TRAINED else "watched" if lot < TRAINED + WATCHED else "study"
            parts[part][code].append(sentence.strip())
    return parts


def write_study_texts(folder: Path, parts: dict[str, dict[str, list[str]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for code, sentences in parts["study"].items():
        (folder / f"{code}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")


def train_tokenizer(path: Path, parts: dict[str, dict[str, list[str]]], n_words: int) -> Any:
    """A byte-level BPE tokenizer of the sentences that are trained on; the one that is there, if there is."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    if path.exists():
        return Tokenizer.from_file(str(path))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_words,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((s for part in parts["trained"].values() for s in part), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", BOS)], pair="<s> $A <s> $B"
    )
    tokenizer.save(str(path))
    return tokenizer


def build_model(args: argparse.Namespace, n_words: int) -> Any:
    from transformers import OlmoeConfig, OlmoeForCausalLM

    torch.manual_seed(args.seed)
    config = OlmoeConfig(
        vocab_size=n_words,
        hidden_size=args.width,
        intermediate_size=args.expert_width,
        num_hidden_layers=args.layers,
        num_attention_heads=args.width // 32,
        num_key_value_heads=args.width // 32,
        num_experts=args.experts,
        num_experts_per_tok=args.top_k,
        norm_topk_prob=True,
        router_aux_loss_coef=args.balance,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    config._experts_implementation = args.implementation
    return OlmoeForCausalLM(config)


def encode(sentences: dict[str, list[str]], tokenizer: Any) -> dict[str, list[np.ndarray]]:
    """Token ids of every sentence behind BOS, by language."""
    return {
        code: [np.array(e.ids, dtype=np.int64) for e in tokenizer.encode_batch(lines)]
        for code, lines in sentences.items()
    }


def make_rows(documents: dict[str, list[np.ndarray]], n_rows: int, rng: np.random.Generator) -> torch.Tensor:
    """Rows of sentences of one language each, languages in turn, int64 (n_rows, LENGTH)."""
    rows = np.zeros((n_rows, LENGTH), dtype=np.int64)
    first = int(rng.integers(len(LANGUAGES)))
    for number, row in enumerate(rows):
        own = documents[LANGUAGES[(first + number) % len(LANGUAGES)]]
        filled = 0
        while filled < LENGTH:
            part = own[int(rng.integers(len(own)))][: LENGTH - filled]
            row[filled : filled + len(part)] = part
            filled += len(part)
    return torch.from_numpy(rows)


def train(args: argparse.Namespace, parts: dict[str, dict[str, list[str]]], tokenizer: Any) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    model = build_model(args, tokenizer.get_vocab_size()).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.95))
    documents, watched = encode(parts["trained"], tokenizer), encode(parts["watched"], tokenizer)
    n_tokens = sum(len(d) for own in documents.values() for d in own)
    n_parameters = sum(p.numel() for p in model.parameters())
    print(f"{n_parameters / 1e6:.2f} million parameters, {n_tokens} tokens to train on, on {device}")
    step, begun, seconds_before = 0, time.monotonic(), 0.0
    state = args.out / "state.pt"
    if state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds_before = saved["step"], saved["seconds"]
        print(f"going on after step {step}")
    last_saved = time.monotonic()
    while True:
        if step in (*args.keep, args.steps) and not (args.out / f"step_{step}" / "config.json").exists():
            watch(model, watched, args.out / "log.csv", step, seconds_before + time.monotonic() - begun)
            save_checkpoint(model, args.out, step)
        out_of_time = time.monotonic() - begun > 60 * args.minutes
        if step >= args.steps or out_of_time or time.monotonic() - last_saved > 120:
            save_state(state, model, optimizer, step, seconds_before + time.monotonic() - begun)
            last_saved = time.monotonic()
        if step >= args.steps or out_of_time:
            break
        warm, left = min(1.0, (step + 1) / 100), 0.5 * (1 + math.cos(math.pi * step / args.steps))
        for group in optimizer.param_groups:
            group["lr"] = args.rate * warm * (0.05 + 0.95 * left)
        rows = make_rows(documents, args.rows, np.random.default_rng([args.seed, step])).to(device)
        out = model(input_ids=rows, labels=rows, output_router_logits=True)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 0:
            done = seconds_before + time.monotonic() - begun
            print(f"step {step}: loss {out.loss.item():.3f}, {done:.0f} s", flush=True)
        if step % 250 == 0:
            watch(model, watched, args.out / "log.csv", step, seconds_before + time.monotonic() - begun)


@torch.no_grad()
def watch(model: Any, documents: dict[str, list[np.ndarray]], path: Path, step: int, seconds: float) -> None:
    """Add a line to the log: held-out nats per token of every language."""
    model.eval()
    device = next(model.parameters()).device
    losses = []
    for code in LANGUAGES:
        own = [document[:LENGTH] for document in documents[code]]
        ids = torch.full((len(own), max(map(len, own))), PAD, dtype=torch.int64)
        for row, document in zip(ids, own, strict=True):
            row[: len(document)] = torch.from_numpy(document)
        ids = ids.to(device)
        labels = ids.masked_fill(ids == PAD, -100)
        losses.append(float(model(input_ids=ids, labels=labels).loss))
    model.train()
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "seconds", "mean", *LANGUAGES])
        numbers = [f"{x:.4f}" for x in (float(np.mean(losses)), *losses)]
        writer.writerow([step, f"{seconds:.1f}", *numbers])
    print(f"step {step}: {np.mean(losses):.3f} nats per held-out token", flush=True)


def save_checkpoint(model: Any, out: Path, step: int) -> None:
    """A folder that transformers loads as it is, bfloat16."""
    folder, part = out / f"step_{step}", out / f".step_{step}"
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(part)
    (part / "tokenizer.json").write_bytes((out / "tokenizer.json").read_bytes())
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, **SPECIAL}
    (part / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    os.replace(part, folder)


def save_state(path: Path, model: Any, optimizer: Any, step: int, seconds: float) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    part = path.with_name(".state.pt")
    torch.save(state, part)
    os.replace(part, path)


if __name__ == "__main__":
    main()

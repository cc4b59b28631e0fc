"""GGUF files to Hugging Face folders: weights through transformers, the tokenizer rebuilt here.

transformers 5.17 turns a GGUF tokenizer of the SentencePiece BPE kind (Gemma) into a Unigram model over
merge ranks, which splits text into other pieces than the model was trained on. So the tokenizer is built
from the file's tokens and merge ranks with the `tokenizers` library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from babelscope.study.errors import BabelscopeError

_CONTROL, _USER_DEFINED = 3, 4  # token types of the GGUF format


@dataclass(frozen=True)
class GgufVocabulary:
    """Tokenizer fields of a GGUF file: pieces, merge ranks or merges, token types and settings."""

    model: str
    pre: str
    tokens: list[str]
    scores: list[float]
    types: list[int]
    merges: list[str]
    bos_token_id: int | None
    eos_token_id: int | None
    unk_token_id: int | None
    pad_token_id: int | None
    add_bos_token: bool


def convert_gguf(gguf_file: Path, folder: Path) -> None:
    """De-quantise a GGUF file to float32 safetensors with config and tokenizer in ``folder``.

    Raises
    ------
    BabelscopeError
        Where the file's tokenizer is of a kind that cannot be rebuilt exactly.
    """
    with one_reader(gguf_file) as reader:
        vocabulary = read_vocabulary(gguf_file)
        check_kind(vocabulary)
        # The tokenizer of a big vocabulary takes seconds, in which the weights are read. A process that is
        # forked before torch is loaded starts at once.
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as beside:
            written = beside.submit(write_tokenizer, vocabulary, folder)
            # transformers would parse them twice, word by word, for a tokenizer that it does not make here
            for name in ("scores", "token_type", "merges"):
                reader.fields.pop(f"tokenizer.ggml.{name}", None)
            _write_weights(gguf_file, folder)
            written.result()


def _write_weights(gguf_file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32
    )
    # de-quantised weights are plain weights: the quantiser would refuse to save them
    model.hf_quantizer = None  # type: ignore[assignment]
    model.config.__dict__.pop("quantization_config", None)
    model.config._name_or_path = gguf_file.name
    model.save_pretrained(folder)


def write_tokenizer(vocabulary: GgufVocabulary, folder: Path) -> None:
    """Rebuild a tokenizer and write it, see ``build_tokenizer`` and ``save_tokenizer``."""
    save_tokenizer(build_tokenizer(vocabulary), vocabulary, folder)


@contextmanager
def one_reader(gguf_file: Path) -> Iterator[Any]:
    """Let all that reads the file inside get one reader of it, and one table of the tensors' names.

    A vocabulary of 262,144 words takes a reader many seconds, and transformers makes two of them. Fields are
    cut out of a plain array: slices of a memory map cost several times as much. transformers makes the
    table again for every module.
    """
    import gguf
    import numpy as np
    from gguf import gguf_reader

    made, memmap = gguf.GGUFReader, np.memmap
    gguf_reader.np.memmap = lambda path, mode: np.asarray(memmap(path, mode=mode))  # type: ignore
    try:
        reader = made(gguf_file)
    finally:
        gguf_reader.np.memmap = memmap  # type: ignore
    name_map = gguf.get_tensor_name_map
    gguf.GGUFReader = lambda path: reader if Path(path) == gguf_file else made(path)  # type: ignore
    gguf.get_tensor_name_map = cache(name_map)
    try:
        yield reader
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = made, name_map  # type: ignore


def read_vocabulary(gguf_file: Path) -> GgufVocabulary:
    """Read the tokenizer fields of a GGUF file."""
    import gguf

    fields = gguf.GGUFReader(gguf_file).fields

    def value(name: str, default: Any = None) -> Any:
        field = fields.get(f"tokenizer.ggml.{name}")
        return default if field is None else field.contents()

    return GgufVocabulary(
        model=value("model", ""),
        pre=value("pre", "default"),
        tokens=value("tokens", []),
        scores=value("scores", []),
        types=value("token_type", []),
        merges=value("merges", []),
        bos_token_id=value("bos_token_id"),
        eos_token_id=value("eos_token_id"),
        unk_token_id=value("unknown_token_id"),
        pad_token_id=value("padding_token_id"),
        # llama.cpp: SentencePiece vocabularies begin with BOS where the file does not say
        add_bos_token=bool(value("add_bos_token", value("model", "") == "llama")),
    )


def check_kind(vocabulary: GgufVocabulary) -> None:
    """Refuse a tokenizer that cannot be rebuilt, before minutes go into the weights.

    Raises
    ------
    BabelscopeError
        For a kind other than SentencePiece BPE (``llama``) or byte-level BPE (``gpt2``).
    """
    if vocabulary.model not in _KINDS:
        raise BabelscopeError(
            f"GGUF tokenizer kind {vocabulary.model!r}: only 'llama' (SentencePiece BPE) and 'gpt2' "
            "(byte-level BPE) can be rebuilt; use the model's original repository or folder instead"
        )


def build_tokenizer(vocabulary: GgufVocabulary) -> Tokenizer:
    """Rebuild the tokenizer.

    Raises
    ------
    BabelscopeError
        As ``check_kind``.
    """
    check_kind(vocabulary)
    tokenizer = _KINDS[vocabulary.model](vocabulary)
    added = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if kind == _CONTROL or (kind == _USER_DEFINED and token.strip())
    ]
    tokenizer.add_tokens(added)
    return tokenizer


def _sentencepiece_bpe(vocabulary: GgufVocabulary) -> Tokenizer:
    """SentencePiece BPE: the pair whose union has the highest score is merged first."""
    pieces = [token.replace(" ", "▁") for token in vocabulary.tokens]
    ids = {piece: idx for idx, piece in enumerate(pieces)}
    unknown = pieces[vocabulary.unk_token_id or 0]
    ranked = []
    for piece, score, kind in zip(pieces, vocabulary.scores, vocabulary.types, strict=True):
        if kind == _CONTROL or len(piece) < 2:
            continue
        # runs of spaces and newlines carry no rank of their own: they join before everything else
        priority = -score if piece.strip("▁\n\t") else float(len(piece)) - 1e9
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in ids and right in ids:
                ranked.append((priority, ids[left], ids[right], left, right))
    ranked.sort()
    merges = [(left, right) for *_, left, right in ranked]
    tokenizer = Tokenizer(BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _byte_level_bpe(vocabulary: GgufVocabulary) -> Tokenizer:
    ids = {token: idx for idx, token in enumerate(vocabulary.tokens)}
    merges = [(left, right) for left, right in (merge.split(" ", 1) for merge in vocabulary.merges)]
    tokenizer = Tokenizer(BPE(ids, merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        if vocabulary.pre == "smollm"
        else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


_KINDS = {"llama": _sentencepiece_bpe, "gpt2": _byte_level_bpe}


def save_tokenizer(tokenizer: Tokenizer, vocabulary: GgufVocabulary, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json so that ``AutoTokenizer`` loads this very tokenizer."""
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": vocabulary.bos_token_id, "eos_token": vocabulary.eos_token_id}
    names |= {"unk_token": vocabulary.unk_token_id, "pad_token": vocabulary.pad_token_id}
    special = {name: vocabulary.tokens[idx] for name, idx in names.items() if idx is not None}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": vocabulary.add_bos_token,
        **special,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )

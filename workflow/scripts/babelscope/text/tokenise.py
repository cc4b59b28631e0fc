"""Documents to token ids, with the `tokenizers` library alone where the model has a tokenizer.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from babelscope.model.folder import read_tokenizer
from babelscope.model.info import ModelInfo
from babelscope.study.errors import BabelscopeError, require
from babelscope.text.documents import HELDOUT, PROFILE, Document
from babelscope.text.tokens import TokenizedCorpus

# one document in, its token ids and the position in the text where each token ends
Encoder = Callable[[str], tuple[list[int], list[int]]]


def load_encoder(info: ModelInfo) -> Encoder:
    """An encoder without special tokens for a prepared model."""
    tokenizer = read_tokenizer(Path(info.path))
    if tokenizer is not None:
        tokenizer.no_truncation()

        def encode(text: str) -> tuple[list[int], list[int]]:
            encoding = tokenizer.encode(text, add_special_tokens=False)
            return encoding.ids, [end for _, end in encoding.offsets]

        return encode

    from transformers import AutoTokenizer

    slow = AutoTokenizer.from_pretrained(
        info.path, local_files_only=True, trust_remote_code=info.trust_remote_code
    )
    if not slow.is_fast:
        raise BabelscopeError(
            f"{info.path}: the tokenizer cannot tell where its tokens end; need tokenizer.json"
        )

    def encode_slow(text: str) -> tuple[list[int], list[int]]:
        encoding = slow(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoding["input_ids"], [end for _, end in encoding["offset_mapping"]]

    return encode_slow


def token_texts(info: ModelInfo, token_ids: Sequence[int] | np.ndarray) -> list[str]:
    """What single tokens stand for, with a space in front where the token begins a word.

    Parts of a character, which some tokenizers have, are the replacement character.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(info.path) / "tokenizer.json"))
    texts = []
    for token_id in token_ids:
        text = tokenizer.decode([int(token_id)], skip_special_tokens=False)
        spaced = (tokenizer.id_to_token(int(token_id)) or "").startswith("\u2581")
        texts.append(" " + text.lstrip(" ") if spaced else text)
    return texts


def tokenize_documents(
    documents: Sequence[Document], encode: Encoder, max_tokens: int, bos_token_id: int
) -> TokenizedCorpus:
    """Encode documents and cut each after ``max_tokens`` tokens.

    Parameters
    ----------
    documents : in file order.
    encode : see ``load_encoder``.
    max_tokens : at most this many tokens per document, without BOS.
    bos_token_id : kept with the tokens; -1 for none.

    Raises
    ------
    BabelscopeError
        For a document without a token.
    """
    token_ids: list[list[int]] = []
    n_bytes = []
    for document in documents:
        ids, ends = encode(document.text)
        if not ids:
            raise BabelscopeError(f"document {document.id}: the tokenizer makes no token of it")
        whole = len(ids) <= max_tokens
        covered = document.text if whole else document.text[: ends[max_tokens - 1]]
        token_ids.append(ids[:max_tokens])
        n_bytes.append(max(1, len(covered.encode("utf-8"))))
    lengths = [len(ids) for ids in token_ids]
    units = [document.unit for document in documents]
    return TokenizedCorpus(
        token_ids=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in token_ids]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.array([document.split == HELDOUT for document in documents]),
        n_bytes=np.asarray(n_bytes, dtype=np.int32),
        bos_token_id=bos_token_id,
        unit=None if None in units else np.array(units, dtype=np.int64),
    )


def tokenize_texts(
    info: ModelInfo, texts: Sequence[str], heldout: Sequence[str] = (), max_tokens: int = 200
) -> TokenizedCorpus:
    """Texts of one language as tokens of a model, without files.

    Parameters
    ----------
    info : a prepared model.
    texts : to record, and to fit a compensation to.
    heldout : other texts, for evaluation.
    max_tokens : at most this many tokens of a text.

    Raises
    ------
    BabelscopeError
        Where there is no text, or one without a token.
    """
    require(len(texts) + len(heldout) > 0, "no text to tokenize")
    documents = [Document(f"text {i}", text, PROFILE) for i, text in enumerate(texts)]
    documents += [Document(f"held-out text {i}", text, HELDOUT) for i, text in enumerate(heldout)]
    return tokenize_documents(documents, load_encoder(info), max_tokens, info.bos_token_id)

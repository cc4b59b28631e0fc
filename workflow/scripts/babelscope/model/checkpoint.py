"""Check that a model folder is whole: headers, every tensor's name and shape, layers, tokenizer.

transformers fills what a checkpoint lacks with random numbers and says so in a warning. A study of such a
model looks like any other, so a folder is checked before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from babelscope.model.folder import read_header, read_model_config, read_tokenizer
from babelscope.study.errors import BabelscopeError


def check_checkpoint(name: str, folder: Path, *, trust_remote_code: bool = False) -> None:
    """Check that a folder holds all of a model and nothing else.

    The model is built without memory for its weights and compared with the files' headers, name by name; tied
    weights may be left out.

    Parameters
    ----------
    name : name in the configuration, for messages.
    folder : with config.json, safetensors and the tokenizer.
    trust_remote_code : as in the configuration.

    Raises
    ------
    BabelscopeError
        Where a tensor is missing, unexpected or of another shape, a layer is missing, a file is damaged, or
        the tokenizer knows more words than the model.
    """
    where = f"model_definitions.{name}: {folder}"
    read_model_config(folder)
    for file in sorted(folder.glob("*.safetensors")):
        read_header(file)
    model, found = _load_without_weights(where, folder, trust_remote_code)
    problems = {
        "lacks": sorted(found["missing_keys"]),
        "has unexpected": sorted(found["unexpected_keys"]),
        "has in another shape": sorted(
            f"{key} {tuple(stored)} instead of {tuple(wanted)}"
            for key, stored, wanted in found["mismatched_keys"]
        ),
    }
    listed = "; ".join(f"{verb} {_some(names)}" for verb, names in problems.items() if names)
    if listed:
        raise BabelscopeError(
            f"{where}: not a whole model: it {listed}. Compare config.json (num_hidden_layers, "
            "sizes) with the weights, or download the model again"
        )
    _check_tokenizer(where, folder, model.get_input_embeddings().num_embeddings)


def _load_without_weights(where: str, folder: Path, trust_remote_code: bool) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
        return loaded
    except Exception as error:  # whatever a config of another's making brings about
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BabelscopeError(f"{where}: transformers cannot build this model ({reason})") from error
    finally:
        logging.set_verbosity(verbosity)


def _check_tokenizer(where: str, folder: Path, n_words: int) -> None:
    """Refuse a tokenizer whose ids the model does not know; a slow one has no file to look into."""
    tokenizer = read_tokenizer(folder)
    if tokenizer is None:
        return
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if highest >= n_words:
        raise BabelscopeError(
            f"{where}: the tokenizer's highest id is {highest}, the model has {n_words} embeddings: they "
            "belong to different models"
        )


def _some(names: Iterable[str]) -> str:
    """The first few names, layers of the same tensor as one, and how many there are."""
    names = list(names)
    patterns = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names)
    shown = names if len(names) <= 4 else list(patterns)[:4]
    return f"{', '.join(shown)}{f' ({len(names)} in all)' if len(names) > len(shown) else ''}"

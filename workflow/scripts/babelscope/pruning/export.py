"""A pruned model as a checkpoint: as small as it is, and in a form that any tool loads.

``sliced``: each layer has its own width; the smallest, loaded by ``load_exported``.
``padded``: all layers have the width of the widest, rounded up to a multiple of 64, the rest is zero: a plain
Hugging Face model of the same family. A neuron of zeros says nothing, so both compute the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from tokenizers import Tokenizer, processors
from torch import nn

from babelscope.model.compute import Compute
from babelscope.model.families import find_family
from babelscope.model.folder import read_header, read_tokenizer_settings
from babelscope.model.info import ModelInfo
from babelscope.model.layers import pad_neurons
from babelscope.model.load import StudyModel
from babelscope.model.load import load_model as load_prepared
from babelscope.pruning.cut import FAST_WIDTHS, count_parameters, round_widths
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.study.errors import BabelscopeError

WIDTHS_FILE = "babelscope.json"
WEIGHTS_FILE = "model.safetensors"
# Names in safetensors files, of the types that a study may have.
_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_TOKENIZER_PATTERNS = (
    "tokenizer*",
    "*.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
)


def export_pruned(
    model: StudyModel, plan: PruningPlan, source: str | Path, folder: str | Path, about: str, padded: bool
) -> None:
    """Apply a plan to a dense model, in place, and save it.

    Parameters
    ----------
    model : dense.
    plan : which neurons stay, and the corrected columns.
    source : folder of the dense model, whose tokenizer is copied.
    folder : where the checkpoint goes; must not exist.
    about : text of the checkpoint's README.
    padded : True for the form that unpatched tools load.
    """
    folder = Path(folder)
    module, layers = model.module, model.layers
    dense = count_parameters(model).total
    apply_plan(layers, plan)
    widths = [layer.d_ff for layer in layers]
    if padded:
        width = -(-max(widths) // FAST_WIDTHS) * FAST_WIDTHS
        for layer in layers:
            pad_neurons(layer, width)
        set_width(module, width)
    kept = count_parameters(model).total
    if padded:
        module.save_pretrained(folder)  # type: ignore[operator]
    else:
        # transformers renames weights of some families on saving, and back only where it loads them itself
        module.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        save_model(module, str(folder / WEIGHTS_FILE))
    copy_tokenizer(source, folder)
    note = {"format": "babelscope/export", "format_version": 1, "padded": padded, "widths": widths}
    (folder / WIDTHS_FILE).write_text(json.dumps(note) + "\n", encoding="utf-8")
    loading = (
        "```python\nfrom transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(FOLDER)\n```\n"
        if padded
        else "```python\nfrom babelscope import load_exported\nmodel = load_exported(FOLDER)\n```\n"
    )
    text = (
        f"{about}\n\n{kept:,} of {dense:,} parameters ({kept / dense:.1%}). Feed-forward "
        f"widths: {widths}.\n\n{loading}"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def copy_tokenizer(source: str | Path, folder: Path) -> None:
    """Copy the tokenizer's files of a model folder; BOS comes before a text where the settings ask for it.

    transformers reads ``add_bos_token`` for some classes of tokenizers alone. Models that were trained behind
    BOS say nothing of use without it.
    """
    for pattern in _TOKENIZER_PATTERNS:
        for file in Path(source).glob(pattern):
            shutil.copyfile(file, folder / file.name)
    file, settings = folder / "tokenizer.json", read_tokenizer_settings(folder)
    bos = settings.get("bos_token")
    bos = bos.get("content") if isinstance(bos, dict) else bos
    if not (file.exists() and settings.get("add_bos_token") and bos):
        return
    tokenizer = Tokenizer.from_file(str(file))
    number = tokenizer.token_to_id(bos)
    if tokenizer.post_processor is None and number is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, number)]
        )
        tokenizer.save(str(file))


def export_both(
    info: ModelInfo,
    dtype: str,
    plan: PruningPlan,
    target: str,
    languages: Sequence[str],
    sliced: str | Path,
    padded: str | Path,
) -> None:
    """Save a pruned model in both forms, each folder whole or not at all.

    Parameters
    ----------
    info, dtype : the dense model, and the type of the weights.
    plan : which neurons stay, and the corrected columns.
    target, languages : what the model is for.
    sliced, padded : the folders; what is there is replaced.
    """
    then = ", and all kept weights then distilled towards the dense model" if plan.up else ""
    about = (
        f"# {info.name}, for {', '.join(languages)}\n\nThe feed-forward neurons of {info.name} "
        f"({info.origin}) that serve {target}: {plan.keep.mean():.1%} of them. The kept columns of the "
        f"down projections were corrected by least squares{then} (Babelscope). The licence of the dense "
        "model holds."
    )
    for folder in (sliced, padded):
        part = Path(f"{folder}.part")
        shutil.rmtree(part, ignore_errors=True)
        model = load_prepared(info, Compute(dtype, "cpu"))
        export_pruned(model, plan, info.path, part, about, padded=folder is padded)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def load_exported(
    folder: str | Path, dtype: torch.dtype | None = None, width_multiple: int = FAST_WIDTHS
) -> nn.Module:
    """Load an exported checkpoint of either form.

    Parameters
    ----------
    folder : what ``export_pruned`` made.
    dtype : of the weights in memory; None: as in the file.
    width_multiple : the sliced form's widths are rounded up to multiples of this, see ``round_widths``; 1
        leaves them as they are.

    Raises
    ------
    BabelscopeError
        Where the folder holds no export of Babelscope, or a damaged one.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = Path(folder)
    try:
        note = json.loads((folder / WIDTHS_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BabelscopeError(f"{folder}: no export of Babelscope ({error})") from error
    if note.get("format") != "babelscope/export" or note.get("format_version") != 1:
        raise BabelscopeError(f"{folder / WIDTHS_FILE}: not a babelscope/export file of version 1")
    if note["padded"]:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or "auto").eval()
    dtype = dtype or _stored_type(folder / WEIGHTS_FILE)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=dtype)
    layers = StudyModel(model).layers
    keep = np.zeros((len(layers), layers[0].d_ff), dtype=bool)
    for row, width in zip(keep, note["widths"], strict=True):
        row[:width] = True
    apply_plan(layers, PruningPlan(keep))
    try:
        load_model(model, folder / WEIGHTS_FILE)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BabelscopeError(f"{folder / WEIGHTS_FILE}: {error}; export it again") from error
    round_widths(layers, width_multiple)
    return model.to(dtype).eval().requires_grad_(False)


def _stored_type(file: Path) -> torch.dtype:
    """The type of a file's weights.

    Raises
    ------
    BabelscopeError
        Where the file is missing or damaged.
    """
    try:
        header, _ = read_header(file)
    except OSError as error:
        raise BabelscopeError(f"{file}: {error}; export it again") from error
    names = {tensor["dtype"] for tensor in header.values()}
    return next(dtype for name, dtype in _TYPES.items() if name in names)


def set_width(model: Any, width: int) -> None:
    """Say in a model's configuration how wide its feed-forward layers are.

    Raises
    ------
    BabelscopeError
        For a family whose width is fixed (BLOOM: four times d_model).
    """
    family = str(model.config.model_type)
    find_family(family, ())
    names = {"opt": "ffn_dim", "xglm": "ffn_dim", "bloom": None}
    name = names.get(family, "intermediate_size")
    if name is None:
        raise BabelscopeError(
            f"family {family}: the width is fixed to 4 x d_model; only the sliced form can be exported"
        )
    setattr(model.config, name, width)

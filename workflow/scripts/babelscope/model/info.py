"""What a prepared model is: the contract of ``results/{model}/model.json``, no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from babelscope.files.whole import read_json, write_json
from babelscope.model.families import find_family
from babelscope.model.weights import count_layers, ffn_shape, read_index
from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class ModelInfo:
    """A model whose weights lie in a local folder.

    Attributes
    ----------
    name : name in the configuration.
    path : folder with safetensors files, config.json and the tokenizer; absolute, or relative to the
        working directory.
    origin : where it came from: ``hub``, ``path`` or ``package`` and its name.
    revision : commit of the hub, or empty.
    sha256 : digest of the packaged file, or empty.
    family : ``model_type`` of its config.json.
    n_layers, d_model, d_ff : sizes, read off the weights.
    activation : name of the activation function; gated : whether there is a gate.
    bos_token_id : put before each document; -1 for none.
    trust_remote_code : whether the user allowed code that comes with the weights.
    """

    name: str
    path: str
    origin: str
    revision: str
    sha256: str
    family: str
    n_layers: int
    d_model: int
    d_ff: int
    activation: str
    gated: bool
    bos_token_id: int
    trust_remote_code: bool = False


def describe_model(
    name: str,
    folder: Path,
    *,
    n_layers: int,
    origin: str,
    revision: str = "",
    sha256: str = "",
    trust_remote_code: bool = False,
) -> ModelInfo:
    """Read off a model folder what the study needs to know, and check it against the configuration.

    Raises
    ------
    BabelscopeError
        For an unknown family, a folder without safetensors, or a wrong ``n_layers``.
    """
    config = read_json(folder / "config.json")
    index = read_index(folder)
    model_type = config.get("model_type", "")
    family = find_family(model_type, (tensor.removesuffix(".weight") for tensor in index))
    found = count_layers(index, family)
    if found != n_layers:
        raise BabelscopeError(
            f"model_definitions.{name}.n_layers is {n_layers}, the weights in {folder} have {found} layers"
        )
    d_model, d_ff = ffn_shape(index, family)
    return ModelInfo(
        name=name,
        path=str(folder),
        origin=origin,
        revision=revision,
        sha256=sha256,
        family=model_type,
        n_layers=n_layers,
        d_model=d_model,
        d_ff=d_ff,
        activation=str(config.get(family.activation, family.activation)),
        gated=family.gated,
        bos_token_id=_bos_token_id(folder, config),
        trust_remote_code=trust_remote_code,
    )


def write_model_info(path: str | Path, info: ModelInfo) -> None:
    """Write ``model.json``."""
    write_json(path, {"format": "babelscope/model", "format_version": 1, **asdict(info)})


def read_model_info(path: str | Path) -> ModelInfo:
    """Read ``model.json`` and check that the weights are still there.

    Raises
    ------
    BabelscopeError
        Where the file is damaged or of another version, or its weights are gone.
    """
    remake = f"delete {path} and run again: rule prepare_model remakes it"
    content = read_json(path)
    if not isinstance(content, dict):
        raise BabelscopeError(f"{path}: no JSON object; {remake}")
    if content.pop("format", None) != "babelscope/model" or content.pop("format_version", None) != 1:
        raise BabelscopeError(f"{path}: not a babelscope/model file of version 1; {remake}")
    try:
        info = ModelInfo(**content)
    except TypeError as error:
        raise BabelscopeError(f"{path}: {error}; {remake}") from None
    if not (Path(info.path) / "config.json").exists():
        raise BabelscopeError(f"{path}: the weights are no longer in {info.path}; {remake}")
    return info


def _bos_token_id(folder: Path, config: dict[str, Any]) -> int:
    """Id of the token that the tokenizer calls BOS; -1 where it has none."""
    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.exists() else {}
    bos = settings.get("bos_token", "absent")
    if bos is None:
        return -1
    bos_id = config.get("bos_token_id")
    if isinstance(bos_id, list):
        bos_id = bos_id[0]
    return -1 if bos_id is None else int(bos_id)

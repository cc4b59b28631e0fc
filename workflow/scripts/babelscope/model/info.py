"""A prepared model: the contract of ``results/{model}/model.json``, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from babelscope.files.kind import Kind
from babelscope.files.record import read_record, write_record
from babelscope.model.families import find_family
from babelscope.model.folder import read_model_config, read_tokenizer, read_tokenizer_settings
from babelscope.model.weights import count_layers, ffn_shape, read_index
from babelscope.model.weights_digest import is_source, origin_of, stamp_of, weights_digest
from babelscope.study.errors import BabelscopeError

MODEL = Kind(
    "model",
    "model.json",
    "prepare_model",
    ("name",),
    fields={
        "path": "folder of the weights, absolute or relative to the working directory",
        "origin, revision, sha256": "where they came from, commit of the hub, digest of the packaged file",
        "family, activation, gated": "kind of the model",
        "n_layers, d_model, d_ff": "sizes, read off the weights; with routed experts d_ff is that of one",
        "bos_token_id": "token before each document; -1 for none",
        "weights_sha256": "digest of all files of the folder that decide a result",
        "weights_stamp": "their sizes and times: the digest is taken again where these have changed",
    },
    version=2,
)


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
    n_layers, d_model, d_ff : sizes, read off the weights; with routed experts ``d_ff`` is that of one.
    activation : name of the activation function; gated : whether there is a gate.
    bos_token_id : of the token before each document (``find_prefix_token``); -1 for none.
    trust_remote_code : whether the user allowed code that comes with the weights; never read from a file.
    weights_sha256, weights_stamp : ``weights_digest`` and ``stamp_of`` the folder; empty where not known.
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
    weights_sha256: str = ""
    weights_stamp: str = ""


def describe_model(
    name: str,
    folder: str | Path,
    *,
    n_layers: int | None = None,
    origin: str = "path",
    revision: str = "",
    sha256: str = "",
    document_prefix: str | None = None,
    trust_remote_code: bool = False,
    notes: str | Path | None = None,
) -> ModelInfo:
    """Describe the model in a folder, checked against the configuration.

    Parameters
    ----------
    name : of the model in results.
    folder : a Hugging Face folder with config.json, safetensors files and a tokenizer.
    n_layers : that the weights must have; None: as many as there are.
    origin, revision, sha256, trust_remote_code : see ``ModelInfo``.
    document_prefix : see ``find_prefix_token``.
    notes : of digests, see ``weights_digest``.

    Raises
    ------
    BabelscopeError
        For an unknown family, a folder without safetensors, or a wrong ``n_layers``.
    """
    folder = Path(folder)
    config = read_model_config(folder)
    index = read_index(folder)
    model_type = config["model_type"]
    family = find_family(model_type, (tensor.removesuffix(".weight") for tensor in index))
    routing = family.routing
    found = count_layers(index, family) if routing is None else int(config["num_hidden_layers"])
    if n_layers is not None and found != n_layers:
        raise BabelscopeError(
            f"model_definitions.{name}.n_layers is {n_layers}, the weights in {folder} have {found} layers"
        )
    if routing is None:
        d_model, d_ff = ffn_shape(index, family)
    else:
        d_model, d_ff = int(config["hidden_size"]), int(config[routing.d_expert])
    return ModelInfo(
        name=name,
        path=str(folder),
        origin=origin,
        revision=revision,
        sha256=sha256,
        family=model_type,
        n_layers=found,
        d_model=d_model,
        d_ff=d_ff,
        activation=str(config.get(family.activation, family.activation)),
        gated=family.gated,
        bos_token_id=find_prefix_token(folder, config, document_prefix),
        trust_remote_code=trust_remote_code,
        weights_sha256=weights_digest(folder, notes),
        weights_stamp=stamp_of(folder),
    )


def write_model_info(path: str | Path, info: ModelInfo) -> None:
    """Write ``model.json``, without the user's permissions."""
    content = asdict(info)
    del content["trust_remote_code"]
    write_record(path, MODEL, content, name=info.name)


def read_model_info(
    path: str | Path, definitions: Mapping[str, Mapping[str, Any]] | None = None
) -> ModelInfo:
    """Read ``model.json`` and check that the weights are still there, and the same.

    Parameters
    ----------
    path : ``results/{model}/model.json``.
    definitions : ``model_definitions`` of the configuration, which the file must agree with; what the user
        allows is read from there alone. None: nothing is allowed.

    Raises
    ------
    BabelscopeError
        Where the file is damaged, of another version or another model, or its weights are gone or others.
    """
    content = read_record(path, MODEL)
    if "trust_remote_code" in content:
        raise BabelscopeError(f"{path}: trust_remote_code is for the configuration alone; {MODEL.remake}")
    try:
        info = ModelInfo(**content)
    except TypeError as error:
        raise BabelscopeError(f"{path}: {error}; {MODEL.remake}") from None
    kinds = {"str": str, "int": int, "bool": bool}
    for field in fields(ModelInfo):
        value = getattr(info, field.name)
        if type(value) is not kinds[str(field.type)]:
            raise BabelscopeError(f"{path}: {field.name} is {value!r:.60}, need {field.type}; {MODEL.remake}")
    if definitions is not None:
        info = _as_defined(Path(path), info, definitions)
    if not (Path(info.path) / "config.json").exists():
        raise BabelscopeError(f"{path}: the weights are no longer in {info.path}; {MODEL.remake}")
    if stamp_of(info.path) != info.weights_stamp and weights_digest(info.path) != info.weights_sha256:
        raise BabelscopeError(f"{path}: the weights in {info.path} are not those it is about; {MODEL.remake}")
    return info


def _as_defined(path: Path, info: ModelInfo, definitions: Mapping[str, Mapping[str, Any]]) -> ModelInfo:
    """The model with the user's permissions, once it is known to be that of the configuration."""
    name = path.parent.name
    definition = definitions.get(name)
    if info.name != name or definition is None:
        raise BabelscopeError(
            f"{path}: is about model {info.name!r}, the configuration has {', '.join(definitions)}; "
            f"this folder is of {name!r}; {MODEL.remake}"
        )
    source, weights = definition["source"], path.parent / "weights"
    allowed = [weights, *([Path(source["path"])] if "path" in source else [])]
    snapshot = "hub" in source and Path(info.path).parent.name == "snapshots"
    if not is_source(asdict(info), source) or not (snapshot or Path(info.path) in allowed):
        raise BabelscopeError(
            f"{path}: made from {info.origin!r} in {info.path}, the configuration has {origin_of(source)!r}; "
            f"{MODEL.remake}"
        )
    if info.n_layers != definition["n_layers"]:
        raise BabelscopeError(
            f"{path}: has {info.n_layers} layers, the configuration {definition['n_layers']}; {MODEL.remake}"
        )
    return replace(info, trust_remote_code=definition.get("trust_remote_code", False))


def find_prefix_token(folder: Path, config: dict[str, Any], document_prefix: str | None = None) -> int:
    """Id of the token that stands before a document; -1 where the model reads documents bare.

    What the tokenizer does decides, not what the config calls BOS: reading a model behind a token that it
    never saw there costs it tenths of a nat per token.

    Parameters
    ----------
    folder : with the tokenizer's files.
    config : the model's config.json.
    document_prefix : a token of the tokenizer, or an empty string for none; None: as the tokenizer does.
        Where its files say ``add_bos_token`` that holds, otherwise what tokenizer.json puts before a text.

    Raises
    ------
    BabelscopeError
        Where ``document_prefix`` is no token of the tokenizer, or a file of the tokenizer is damaged.
    """
    settings, tokenizer = read_tokenizer_settings(folder), read_tokenizer(folder)
    if document_prefix is not None:
        found = tokenizer.token_to_id(document_prefix) if tokenizer and document_prefix else None
        if document_prefix and found is None:
            raise BabelscopeError(
                f"document_prefix {document_prefix!r} is no token of the tokenizer in {folder}; leave it out "
                "or give an empty string for none"
            )
        return -1 if found is None else int(found)
    bos, adds = settings.get("bos_token", "absent"), settings.get("add_bos_token")
    if adds is None and tokenizer is not None:
        plain = tokenizer.encode("a", add_special_tokens=False).ids
        whole = tokenizer.encode("a", add_special_tokens=True).ids
        return whole[0] if plain and len(whole) > len(plain) and whole[0] != plain[0] else -1
    if bos is None or adds is False:
        return -1
    if isinstance(bos, dict):
        bos = bos.get("content", "absent")
    found = tokenizer.token_to_id(bos) if tokenizer is not None else None
    bos_id = config.get("bos_token_id") if found is None else found
    if isinstance(bos_id, list):
        bos_id = bos_id[0]
    return -1 if bos_id is None else int(bos_id)

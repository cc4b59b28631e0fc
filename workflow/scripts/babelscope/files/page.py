"""The page of the documentation about files, made from the kinds that the package declares.

``python -m babelscope.files.page > docs/files.md`` writes it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

import babelscope
from babelscope.files.kind import Kind

_HEAD = """# Files under `results/`

Made by `python -m babelscope.files.page` from the declarations in the code: do not edit it by hand.

Root attributes of every HDF5 file: `format` (`babelscope/<kind>`), `format_version`, `created_by`, what the
file says about itself, and the parameters that made it. Every dataset carries `dims` and `description`. The
first 512 bytes (HDF5's user block) are the seal: a SHA-256 of all bytes behind them. A file without the seal,
with another one, of another kind or version, or that is not what was asked for is refused;
the message names the file, what it is, what was asked, and the rule that remakes it.

JSON files carry `format`, `format_version` and a `seal`, the SHA-256 of their content,
and are refused in the same way; in a file of lines every line carries the seal of all.
"""


_TAIL = """
## Other files

| path | content |
|---|---|
| `model.json` | folder of the weights, revision or digest, family and sizes of a prepared model |
| `pruned/{target}.safetensors` | `keep`, bool (layer, neuron): the neurons that stay; `down.{layer}` \
(d_model, n_kept): the corrected columns in the model's own type, absent for plain removal |
| `distilled/{target}.safetensors` | `keep` as in `pruned/`; `down.{layer}` (d_model, n_kept), `up.{layer}` \
and, where the family has one, `gate.{layer}` (n_kept, d_model): the trained weights in the model's own \
type (Phi-3's `up.{layer}` holds gate and up, 2 n_kept rows); with `pruning.distil_epochs` alone |
| `*.csv` | tables for people, numbers with six digits; an empty cell is a missing value |

The metadata of `pruned/{target}.safetensors` are strings: `format`, `format_version`, `created_by`, `model`,
`target`, and as JSON `languages`, `parameters`, `ridge` (per layer) and `unexplained` (share of the removed
output that is still missing, per layer; null where the ridge is that of a layer before); of
`distilled/{target}.safetensors`, in place of these two, `losses` (on validation documents before the first
epoch and after each, nats per token). The files of control partitions and of the sweep lie under
`variants/{variant}/`.
"""


def find_kinds() -> list[Kind]:
    """All kinds that a module of the package declares, by path."""
    found: dict[str, Kind] = {}
    package = Path(babelscope.__file__).parent
    for path in sorted(package.rglob("*.py")):
        # Modules that declare nothing stay out: some need what is not installed everywhere.
        if "from babelscope.files.kind import" not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, Kind) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"two kinds of files are named {value.name}: give one another name")
    return sorted(found.values(), key=lambda kind: kind.path)


def files_page(kinds: Iterable[Kind]) -> str:
    """The page as Markdown: one section per kind, one row per dataset or entry."""
    parts = [_HEAD]
    for kind in kinds:
        says = ", ".join(f"`{name}`" for name in kind.says)
        parts.append(f"\n## `{kind.path}`\n\nKind `{kind.name}`, version {kind.version}, made by rule ")
        parts.append(f"`{kind.rule}`. Says: {says}.\n\n| name | type, axes | meaning |\n|---|---|---|\n")
        for name, spec in kind.datasets.items():
            axes = f" ({', '.join(spec.dims)})" if spec.dims else ""
            parts.append(f"| `{name}` | {spec.dtype}{axes} | {_cell(spec.description)} |\n")
        for name, meaning in kind.fields.items():
            parts.append(f"| `{name}` | | {_cell(meaning)} |\n")
    return "".join([*parts, _TAIL])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(files_page(find_kinds()), end="")

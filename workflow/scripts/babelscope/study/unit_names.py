"""Names of experts and neurons, as in links to the explorer: ``L3E117``, ``L3N1024``.

Rule files import this, so it needs the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS = {"E": "expert", "N": "neuron"}


def name_unit(kind: str, layer: int, unit: int) -> str:
    """The name of an expert or a neuron."""
    letter = next(letter for letter, name in _KINDS.items() if name == kind)
    return f"L{layer}{letter}{unit}"


def parse_unit(name: str) -> tuple[str, int, int]:
    """Kind (``expert`` or ``neuron``), layer and number of a unit."""
    found = re.fullmatch(r"L(\d+)([EN])(\d+)", name)
    if found is None:
        raise ValueError(f"{name!r} is no unit; names look like L3E117 or L3N1024")
    return _KINDS[found[2]], int(found[1]), int(found[3])


def rule_units(config: Mapping[str, Any]) -> Iterator[str]:
    """The units of `contexts.units` are in the layers, and the experts, of every model.

    With `experts.method: router` they are experts; how many a layer has the model says.
    """
    n_experts = config["experts"]["n_experts"]
    routed = config["experts"]["method"] == "router"
    for name in config["contexts"]["units"]:
        kind, layer, unit = parse_unit(name)
        if routed and kind == "neuron":
            yield f"contexts.units: {name!r}: with experts.method: router neurons are no units"
        if kind == "expert" and unit >= n_experts and not routed:
            yield f"contexts.units: {name!r}: experts are 0 to {n_experts - 1}"
        for model in config["models"]:
            n_layers = config["model_definitions"][model]["n_layers"]
            if layer >= n_layers:
                yield f"contexts.units: {name!r}: layers of {model!r} are 0 to {n_layers - 1}"

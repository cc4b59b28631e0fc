"""The ways to get a partition: every way to cut a layer, and the routed experts that a model has."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from babelscope.experts.clustering import CUTS
from babelscope.experts.routed import METHOD

# A row that is added to CUTS is here too.
METHODS: Mapping[str, object] = ChainMap(CUTS, {METHOD: "the model's own routed experts"})  # type: ignore[arg-type]

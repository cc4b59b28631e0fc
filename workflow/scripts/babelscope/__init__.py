"""Babelscope: which parts of a multilingual language model work for which language."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The public face: where each name lives. Nothing is imported before it is asked for.
_PUBLIC = {
    "BalancedKMeans": "babelscope.experts.estimator",
    "load_exported": "babelscope.pruning.export",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'babelscope' has no attribute {name!r}")

"""A machine without memory to spare, for the jobs of a study: on the PYTHONPATH of ``snakemake``.

Every model that a job loads holds ``TOKENS`` tokens at a time, has no room for a second set of feed-forward
layers, and the first system of equations of each job does not fit, whatever makes room for it. On a GPU torch
raises the same error.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from typing import Any

TOKENS = 100
MODULE = "babelscope.model.load"


class Scarcity(importlib.abc.MetaPathFinder):
    """Changes the module that loads models as soon as it has been imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            make_scarce(module)

        spec.loader.exec_module = exec_module
        return spec


def make_scarce(module: Any) -> None:
    import torch

    load_model, cholesky, failed = module.load_model, torch.linalg.cholesky, []

    def limit(_block: Any, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        if hidden.shape[0] * hidden.shape[1] > TOKENS:
            raise torch.OutOfMemoryError("no more")

    def load_scarce(*args: Any, **kwargs: Any) -> Any:
        model = load_model(*args, **kwargs)
        model.blocks[1].register_forward_pre_hook(limit, with_kwargs=True)
        return model

    def solve_second(*args: Any, **kwargs: Any) -> Any:
        if len(failed) < 2:  # once with what the walk keeps beside it, once without
            failed.append(True)
            raise torch.OutOfMemoryError("no more")
        return cholesky(*args, **kwargs)

    module.load_model, module.fits_twice = load_scarce, lambda layers: False
    torch.linalg.cholesky = solve_second


sys.meta_path.insert(0, Scarcity())

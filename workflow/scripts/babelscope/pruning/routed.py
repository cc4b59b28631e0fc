"""A mixture of experts with fewer routed experts: masked while it runs, or cut for good.

A router whose rows of removed experts are gone chooses among the others and weighs them as its family does:
that is the masked router, and it re-normalises by itself. No model code is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.layers import RoutedLayer
from babelscope.model.load import StudyModel, to_device
from babelscope.pruning.routed_choice import count_kept
from babelscope.study.errors import BabelscopeError
from babelscope.text.batches import Batch
from babelscope.text.fitting import run_batches
from babelscope.text.tokens import Documents


def check_kept(model: StudyModel, keep: np.ndarray) -> None:
    """Refuse a choice of experts that the routers cannot work with.

    Parameters
    ----------
    keep : bool (n_layers_moe, n_experts), one row for each layer with a router.

    Raises
    ------
    BabelscopeError
        Where layers keep different numbers of experts, fewer than a router chooses, or, in families whose
        routers choose groups of experts first, different numbers of each group or fewer than two.
    """
    family = str(model.module.config.model_type)  # type: ignore[union-attr]
    top_k = int(model.module.config.num_experts_per_tok)  # type: ignore[union-attr, arg-type]
    n_kept = sorted({int(row.sum()) for row in keep})
    if len(keep) != len(model.routed) or len(n_kept) != 1 or n_kept[0] < top_k:
        raise BabelscopeError(
            f"family {family}: {len(keep)} layers would keep {n_kept} routed experts; need the same number "
            f"in each of {len(model.routed)} layers, at least the {top_k} that a router chooses"
        )
    for layer, row in zip(model.routed, keep, strict=True):
        groups = n_groups(layer)
        if groups == 1:
            continue
        per_group = row[: layer.n_experts].reshape(groups, -1).sum(axis=1)
        chosen = int(layer.router.topk_group)  # type: ignore[arg-type]
        if len(set(per_group)) != 1 or per_group[0] < 2 or chosen * per_group[0] < top_k:
            raise BabelscopeError(
                f"family {family}, layer {layer.number}: groups of experts would keep {per_group.tolist()}; "
                f"need as many of each, at least two, and {top_k} in the {chosen} that are chosen first"
            )


def n_groups(layer: RoutedLayer) -> int:
    """Groups of experts of which a router chooses some first; 1 in most families."""
    return int(getattr(layer.router, "num_group", None) or 1)


def kept_size(model: StudyModel, share: float) -> tuple[int, int, int]:
    """Experts that every layer keeps for a share of them, those it has, and its groups of experts."""
    groups = n_groups(model.routed[0])
    n_experts = min(layer.n_experts for layer in model.routed)
    top_k = int(model.module.config.num_experts_per_tok)  # type: ignore[union-attr, arg-type]
    return count_kept(share, n_experts, top_k, groups), n_experts, groups


@contextmanager
def masked_routers(model: StudyModel, keep: np.ndarray) -> Iterator[None]:
    """Within, routers choose among the experts that are kept; the experts themselves stay as they are.

    Parameters
    ----------
    keep : see ``check_kept``, which it has to pass.
    """
    check_kept(model, keep)
    with ExitStack() as stack:
        for layer, row in zip(model.routed, keep, strict=True):
            n_experts, idx = layer.n_experts, np.flatnonzero(row[: layer.n_experts])
            kept = torch.from_numpy(idx).to(layer.router.weight.device)  # type: ignore[arg-type]
            stack.callback(_take_rows(layer.router, kept))
            hook = layer.router.register_forward_hook(_to_all_experts(layer, kept, n_experts))
            stack.callback(hook.remove)
        yield


def _to_all_experts(layer: RoutedLayer, kept: torch.Tensor, n_experts: int) -> Callable[..., Any]:
    """A hook that gives the choices of a cut router the numbers that the experts have in the whole layer."""

    def after_router(_module: nn.Module, _args: object, output: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
        found = layer.read(output)
        found["choice"] = kept[found["choice"]]
        if "logits" in found:
            logits = found["logits"]
            whole = logits.new_full((*logits.shape[:-1], n_experts), -torch.inf)
            found["logits"] = whole.index_copy_(-1, kept, logits)
        return tuple(found[name] for name in layer.routing.output)

    return after_router


def remove_experts(model: StudyModel, keep: np.ndarray) -> None:
    """Cut routed experts out of a model, in place: weights, rows of the routers, the number in its config.

    Parameters
    ----------
    keep : see ``check_kept``, which it has to pass.
    """
    check_kept(model, keep)
    for layer, row in zip(model.routed, keep, strict=True):
        kept = torch.from_numpy(np.flatnonzero(row[: layer.n_experts]))
        _take_rows(layer.router, kept)
        _take_rows(layer.experts, kept)
    config: Any = model.module.config
    for name in model.routed[0].routing.counts:
        if hasattr(config, name):
            setattr(config, name, int(keep[0].sum()))


def _take_rows(module: nn.Module, kept: torch.Tensor) -> Callable[[], None]:
    """Keep some rows of every parameter and buffer of a module; the result puts all of them back."""
    before = [(module._parameters, name, p) for name, p in module.named_parameters(recurse=False)]
    before += [(module._buffers, name, b) for name, b in module.named_buffers(recurse=False)]  # type: ignore
    sizes = {name: getattr(module, name) for name in ("num_experts", "out_features") if hasattr(module, name)}

    def put_back() -> None:
        for table, name, value in before:
            table[name] = value
        for name, size in sizes.items():
            setattr(module, name, size)

    for table, name, value in before:
        rows = value.detach().index_select(0, kept.to(value.device))
        table[name] = nn.Parameter(rows, requires_grad=False) if isinstance(value, nn.Parameter) else rows
    for name in sizes:
        setattr(module, name, len(kept))
    return put_back


def expert_saliency(model: StudyModel, corpus: Documents, document_idx: np.ndarray) -> np.ndarray:
    """Mean over the tokens that choose an expert of its weight times the norm of its output.

    The saliency of REAP (Lasby et al. 2025, "REAP the experts"). An expert's own output is what the module of
    all experts gives for that choice alone, with a weight of one.

    Parameters
    ----------
    corpus, document_idx : documents to measure it on; special tokens are not counted.

    Returns
    -------
    float64 (n_layers_moe, n_experts); 0 for an expert that no token chooses.
    """
    shape = (len(model.routed), max(layer.n_experts for layer in model.routed))
    total = torch.zeros(shape, dtype=torch.float64, device=model.device)
    n_chosen = torch.zeros(shape, dtype=torch.float64, device=model.device)
    rows: list[tuple[torch.Tensor, torch.Tensor]] = []
    inside = False

    def before_experts(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        nonlocal inside
        if inside:
            return
        hidden, choice, weights = args[:3]
        inside = True
        try:
            for place in range(choice.shape[1]):
                ones = torch.ones_like(weights[:, :1])
                output = module(hidden, choice[:, place : place + 1].contiguous(), ones)
                size = output.float().norm(dim=-1) * weights[:, place].float()
                rows.append((choice[:, place], size))
        finally:
            inside = False

    def run(batch: Batch) -> None:
        counted = to_device(batch.real_mask(count_special=False), model.device).flatten()
        rows.clear()
        model.hidden(to_device(batch.token_ids, model.device))
        per_layer = len(rows) // len(model.routed)
        for number, (choice, size) in enumerate(rows):
            chosen = choice[counted].to(total.device)
            values = size[counted].to(total.device).double()
            total[number // per_layer].index_add_(0, chosen, values)
            n_chosen[number // per_layer].index_add_(0, chosen, torch.ones_like(values))
        rows.clear()

    hooks = [layer.experts.register_forward_pre_hook(before_experts) for layer in model.routed]
    try:
        run_batches(model, corpus, document_idx, run)
    finally:
        for hook in hooks:
            hook.remove()
    return (total / n_chosen.clamp_min(1)).cpu().numpy()

"""Hooks on the routers of a model that keep which experts they choose, and with which weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from babelscope.experts.routed import RoutedExperts
from babelscope.model.layers import RoutedLayer
from babelscope.model.load import StudyModel
from babelscope.recording.resume import UNIT
from babelscope.study.errors import BabelscopeError

# Logits that are looked at together: what is made of them stays below some hundred MB.
_MAX_LOGITS = 2**24


class RouterTap:
    """Context in which a model's forward pass also gives the choices of its routers.

    Forward hooks stand on the router modules of the Hugging Face model itself and keep what they return. On
    leaving, the model is as it was.

    Parameters
    ----------
    model : its output layer is never computed.
    partition : its routed experts.

    Raises
    ------
    BabelscopeError
        Where the routers of the model are not those of the partition; on running, where a router chooses
        another number of experts than the partition says. Both name the family and the layer.
    """

    def __init__(self, model: StudyModel, partition: RoutedExperts) -> None:
        self.model, self.partition, self.device = model, partition, model.device
        self.family = str(model.module.config.model_type)  # type: ignore[union-attr]
        self.problem = f"NaN or infinite router logits of family {self.family}"
        self.n_layers = partition.n_layers
        self.gives_logits = "logits" in model.routed[0].routing.output
        found = [0] * len(model.blocks)
        for layer in model.routed:
            found[layer.number] = layer.n_experts
        if tuple(found) != partition.n_experts_by_layer:
            pairs = list(zip(found, partition.n_experts_by_layer, strict=False))
            number = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
            raise BabelscopeError(
                f"family {self.family}, layer {number}: the model has {found} routed experts by layer, the "
                f"partition {list(partition.n_experts_by_layer)}"
            )
        self._numbers = torch.tensor(self.numbers, device=self.device)
        self._seen: dict[int, dict[str, torch.Tensor]] = {}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> RouterTap:
        self._hooks = [layer.router.register_forward_hook(self._keep(layer)) for layer in self.model.routed]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.release()

    def _keep(self, layer: RoutedLayer) -> Callable[..., None]:
        def after_router(_module: nn.Module, _args: object, output: tuple[torch.Tensor, ...]) -> None:
            self._seen[layer.number] = layer.read(output)

        return after_router

    @property
    def numbers(self) -> list[int]:
        """Layers that have routers."""
        return [layer.number for layer in self.model.routed]

    @property
    def chosen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Experts that each router chose in the last batch, and their weights: (router, token, place)."""
        return self._choice, self._weights

    def shapes(self, _variants: object) -> list[tuple[int, ...]]:
        """Of the sums that ``count`` adds up, without blocks: choices, weights, with logits entropies."""
        cells = (self.n_layers, self.partition.n_experts)
        return [cells, cells, *([(self.n_layers, 1)] if self.gives_logits else [])]

    def run(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Run one batch and keep its choices.

        Parameters
        ----------
        token_ids : int64 (n_documents, length), on the model's input device.

        Returns
        -------
        bool (n_documents * length, n_layers), true where a router's weights, or the logits that it gives, are
        NaN or infinite.
        """
        self._seen.clear()
        self.model.hidden(token_ids)
        n_tokens, top_k = token_ids.numel(), self.partition.top_k
        for layer in self.model.routed:
            choice = self._seen[layer.number]["choice"]
            if choice.reshape(n_tokens, -1).shape[1] != top_k:
                raise BabelscopeError(
                    f"family {self.family}, layer {layer.number}: the router chose "
                    f"{choice.numel() // n_tokens} experts for a token, its configuration says {top_k}"
                )
        self._choice, self._weights = (self._stacked(name) for name in ("choice", "weights"))
        bad = torch.zeros((n_tokens, self.n_layers), dtype=torch.bool, device=self.device)
        finite = self._weights.isfinite().all(dim=2)
        if self.gives_logits:
            self._entropy, finite_logits = self._look_at_logits(n_tokens)
            finite &= finite_logits
        bad[:, self._numbers] = ~finite.T
        self._seen.clear()
        return bad

    def _stacked(self, name: str) -> torch.Tensor:
        """Choices or weights of all routers: (router, token, place)."""
        found = (self._seen[layer.number][name] for layer in self.model.routed)
        return torch.stack([part.reshape(-1, self.partition.top_k).to(self.device) for part in found])

    def _look_at_logits(self, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Entropy of each router's scores, float32, and whether its logits are finite: (router, token)."""
        shape = (len(self.model.routed), n_tokens)
        entropy = torch.zeros(shape, device=self.device)
        finite = torch.ones(shape, dtype=torch.bool, device=self.device)
        width = self.partition.n_experts
        step = max(1, _MAX_LOGITS // (n_tokens * width))
        for start in range(0, len(self.model.routed), step):
            part = slice(start, start + step)
            logits = torch.stack(
                [self._padded(self._seen[x.number]["logits"], width) for x in self.model.routed[part]]
            )  # (router, token, expert)
            finite[part] = ~(logits.isnan() | (logits == torch.inf)).any(dim=2)
            if self.model.routed[0].routing.scores == "sigmoid":
                scores = functional.normalize(logits.sigmoid(), p=1.0, dim=2)
            else:
                scores = logits.softmax(dim=2)
            entropy[part] = torch.special.entr(scores).sum(dim=2)
        return entropy, finite

    def _padded(self, logits: torch.Tensor, width: int) -> torch.Tensor:
        logits = logits.reshape(-1, logits.shape[-1]).to(self.device).float()
        return functional.pad(logits, (0, width - logits.shape[1]), value=-torch.inf)

    def count(self, _variants: object, membership: torch.Tensor) -> list[torch.Tensor]:
        """Sums over the tokens of each block of what the last batch chose.

        Parameters
        ----------
        membership : float32 (n_blocks, n_tokens), 1 where the token belongs to the block, 0 elsewhere and in
            the columns of tokens that are not counted.

        Returns
        -------
        int64 (n_blocks, n) each: choices of every expert; their weights and, of routers that give logits, the
        entropies of every layer, as multiples of ``UNIT``. Exact, in whatever batches.
        """
        n_blocks, n_experts = len(membership), self.partition.n_experts
        cells = self.n_layers * n_experts
        block = membership.argmax(dim=0)  # (token,)
        counted = membership.sum(dim=0) > 0
        key = self._choice + (self._numbers * n_experts)[:, None, None] + (block * cells)[None, :, None]
        ones = counted[None, :, None].expand_as(key)
        sums = [(key, ones.long(), cells), (key, _units(self._weights, ones), cells)]
        if self.gives_logits:
            layer_key = self._numbers[:, None] + (block * self.n_layers)[None, :]
            sums.append((layer_key, _units(self._entropy, ones[:, :, 0]), self.n_layers))
        return [_add_up(where, what, n_blocks * n).view(n_blocks, n) for where, what, n in sums]

    def release(self) -> None:
        """Give the memory of the last batch back."""
        self._seen.clear()
        self._choice = self._weights = self._entropy = torch.empty(0)


def _units(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Values as whole multiples of ``UNIT``, int64; 0 where they are not counted."""
    return torch.where(counted, (values.double() / UNIT).round(), 0.0).long()


def _add_up(where: torch.Tensor, what: torch.Tensor, n_cells: int) -> torch.Tensor:
    table = torch.zeros(n_cells, dtype=torch.int64, device=where.device)
    return table.scatter_add_(0, where.reshape(-1), what.reshape(-1))

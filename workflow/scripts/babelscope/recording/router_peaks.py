"""Which tokens a router sends to each routed expert with the largest weights."""

from __future__ import annotations

import numpy as np
import torch

from babelscope.recording.peaks import Best, Peaks, Sample
from babelscope.recording.router_tap import RouterTap
from babelscope.recording.token_finder import Table, TokenFinder

# Weights of several routers that are looked at together: what is made of them stays below some hundred MB.
_MAX_WEIGHTS = 2**24


class RouterPeaks(TokenFinder):
    """Finds the tokens for which routers choose an expert with the largest weights; routers have no neurons.

    The score of an expert is the weight that its router gives it, 0 where it is not chosen.

    Parameters
    ----------
    tap : of the routers. before, n_best : see ``TokenFinder``.
    """

    def __init__(self, tap: RouterTap, before: Peaks, n_best: int) -> None:
        super().__init__(tap.device, before, n_best)
        self.tap = tap
        self._shape = (tap.n_layers, tap.partition.n_experts)
        self._experts = Table.empty(n_best, len(tap.numbers) * self._shape[1], self.device)
        self._sample = Sample.empty(*self._shape, 0)
        self.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give what the last batch left back."""
        self._new: list[Table] = []
        self._new_weights: list[torch.Tensor] = []

    def see(self) -> None:
        """Look at the choices of the batch."""
        choice, weights = (x.transpose(0, 1) for x in self.tap.chosen)  # (token, router, place)
        n_tokens, n_routers, _ = choice.shape
        step = max(1, _MAX_WEIGHTS // (n_tokens * self._shape[1]))
        for start in range(0, n_routers, step):
            part = slice(start, min(n_routers, start + step))
            # -1 is no weight: what is not chosen can be told from what is chosen with a weight of 0
            table = torch.full((n_tokens, part.stop - start, self._shape[1]), -1.0, device=choice.device)
            table.scatter_(2, choice[:, part].long(), weights[:, part].float())
            values = table.flatten(1)
            by_document = values.unflatten(0, tuple(self._counted.shape))
            self._new.append(self.find(by_document, signed=True))
            if len(self._rows):
                self._new_weights.append(values.index_select(0, self._rows.to(values.device)))

    def add(self) -> None:
        """Keep what the last batch gave."""
        if not self._new:
            return
        self._experts = self._experts.joined(Table.beside(self._new)).best(self.n_best)
        if self._new_weights:
            weights = self._in_layers(torch.cat(self._new_weights, dim=1).cpu().numpy(), -1.0)
            none = np.zeros((len(weights), self._shape[0], 0), dtype=np.float32)
            new = Sample(*self.picked_facts(), np.maximum(weights, 0.0), weights >= 0, none)
            self._sample = self._sample.merged(new, self.n_random)
        self.release()

    def found(self) -> Peaks:
        """The best tokens of all batches so far, on the host."""
        key, position, score = self._experts.arrays()
        expert = Best(self._in_layers(key, 0), self._in_layers(position, -1), self._in_layers(score, 0.0))
        return Peaks(expert, Best.empty(self.n_best, self._shape[0], 0), self._sample, self.n_random)

    def _in_layers(self, array: np.ndarray, missing: float) -> np.ndarray:
        """From (n, router * expert) to (n, layer, expert); dense layers have what is missing."""
        whole = np.full((len(array), *self._shape), missing, dtype=array.dtype)
        whole[:, self.tap.numbers] = array.reshape(len(array), -1, self._shape[1])
        return whole

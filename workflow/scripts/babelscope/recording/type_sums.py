"""Counts by token of one segment, on the device."""

from __future__ import annotations

import numpy as np
import torch

from babelscope.recording.token_types import POSITIONS


class TypeSums:
    """Sums on the device between two savings."""

    def __init__(self, token_id: np.ndarray, n_cells: int, device: torch.device) -> None:
        self.n_types, self.device = len(token_id), device
        self._known = token_id[:-1]
        n = self.n_types + len(POSITIONS)
        self.n_tokens = torch.zeros(n, dtype=torch.int64, device=device)
        self.n_active = torch.zeros((n, n_cells), dtype=torch.int64, device=device)

    def rows(self, token_ids: np.ndarray, n_special: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a batch: those that occur, int64 (n,), and where each token's two are among them.

        Parameters
        ----------
        token_ids : (n_documents, length). n_special : tokens before the document.

        Returns
        -------
        present : int64 (n_present,). own : int64 (2, n_documents * length), by token and by position.
        """
        flat = token_ids.ravel()
        of_type = np.searchsorted(self._known, flat)
        unknown = of_type == len(self._known)
        unknown[~unknown] = self._known[of_type[~unknown]] != flat[~unknown]
        of_type = np.where(unknown, self.n_types - 1, of_type)
        place = np.maximum(np.arange(token_ids.shape[1]) - n_special, 0)
        of_position = self.n_types + np.searchsorted(POSITIONS, place, side="right") - 1
        both = np.stack([of_type, np.broadcast_to(of_position, token_ids.shape).ravel()])
        present, own = np.unique(both, return_inverse=True)
        return present, own.reshape(both.shape)

    def add(self, present: torch.Tensor, n_tokens: torch.Tensor, n_active: torch.Tensor) -> None:
        """Add the counts of a batch's rows."""
        self.n_tokens.index_add_(0, present, n_tokens)
        self.n_active.index_add_(0, present, n_active)

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """What was added since the last time, on the host."""
        found = self.n_tokens.cpu().numpy().copy(), self.n_active.cpu().numpy().copy()
        self.n_tokens.zero_()
        self.n_active.zero_()
        return found


def type_membership(own: torch.Tensor, n_rows: int, counted: torch.Tensor) -> torch.Tensor:
    """1 where a token belongs to a row and is counted, float32 (n_rows, n_tokens).

    Parameters
    ----------
    own : int64 (2, n_tokens), its rows. counted : bool (n_tokens,).
    """
    membership = torch.zeros((n_rows, len(counted)), dtype=torch.float32, device=own.device)
    for rows in own:
        membership.scatter_(0, rows[None], 1.0)
    return membership * counted

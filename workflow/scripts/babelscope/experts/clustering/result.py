"""Results of clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClusteringResult:
    """A partition of the neurons of one layer into experts of nearly equal size.

    Attributes
    ----------
    labels : int32 (n_neurons,), expert of each neuron, 0 to n_experts - 1; sizes differ by at most one.
    sse : sum of squared distances of the rows to the mean of their expert, float64 arithmetic, in the space
        that was clustered (after row normalisation, where that was asked for).
    method, seed, n_starts, normalize_rows, device : as asked for.
    n_steps : balanced Lloyd steps of the start that was kept.
    n_swaps, n_moves : pair swaps and single moves that refinement carried out in the start that was kept.
    seconds : wall time; without that of ``prepared_rows``, where these were given.
    """

    labels: np.ndarray
    sse: float
    method: str
    seed: int
    n_starts: int
    normalize_rows: bool
    device: str
    n_steps: int
    n_swaps: int
    n_moves: int
    seconds: float


@dataclass(frozen=True)
class ReferenceSse:
    """Two sums of squared errors that a balanced partition is compared with.

    Attributes
    ----------
    random : of a random balanced partition.
    unconstrained : of k-means with free sizes that starts from the balanced partition and can only end below
        it: what giving up the balance would buy. No bound on what any partition could reach.
    """

    random: float
    unconstrained: float

"""Balanced clustering as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin

from babelscope.experts.clustering import cluster_neurons


class BalancedKMeans(ClusterMixin, BaseEstimator):
    """Clusters of rows whose sizes differ by at most one, with the least sum of squared errors.

    Parameters
    ----------
    n_experts : clusters, from 1 to the number of rows.
    method, seed, n_starts, normalize_rows, device, n_threads : as in ``cluster_neurons``.

    Attributes
    ----------
    labels_ : int32 (n_rows,), in ``[0, n_experts)``.
    inertia_ : sum of squared distances of the rows to the mean of their cluster.
    n_features_in_ : columns of the rows.
    """

    def __init__(
        self,
        n_experts: int = 256,
        method: str = "balanced_kmeans",
        seed: int = 0,
        n_starts: int = 1,
        normalize_rows: bool = False,
        device: str = "cpu",
        n_threads: int | None = None,
    ) -> None:
        self.n_experts = n_experts
        self.method = method
        self.seed = seed
        self.n_starts = n_starts
        self.normalize_rows = normalize_rows
        self.device = device
        self.n_threads = n_threads

    def fit(self, rows: np.ndarray, y: Any = None) -> BalancedKMeans:
        """Partition the rows.

        Parameters
        ----------
        rows : (n_rows, n_dims) real and finite, for instance the up projection of one layer.
        y : not used; scikit-learn's pipelines pass it.

        Raises
        ------
        BabelscopeError
            As ``cluster_neurons``.
        """
        rows = np.asarray(rows)
        result = cluster_neurons(rows, **self.get_params())
        self.labels_ = result.labels
        self.inertia_ = float(result.sse)
        self.n_features_in_ = rows.shape[1]
        return self

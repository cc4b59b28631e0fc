"""Trees of languages: average linkage with bootstrap support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage
from scipy.spatial.distance import squareform


@dataclass(frozen=True)
class Dendrogram:
    """Average linkage (UPGMA) of the languages.

    Attributes
    ----------
    linkage : float64 (n_languages - 1, 4), as scipy's. order : int64 (n_languages,), leaves from left to
        right.
    cophenetic : correlation between the distances and those in the tree, in [-1, 1]; NaN for two languages.
    support : float64 (n_languages - 1,), share of bootstrap replicates whose tree has the same clade.
    """

    linkage: np.ndarray
    order: np.ndarray
    cophenetic: float
    support: np.ndarray


def cluster_languages(distance: np.ndarray, replicates: np.ndarray | None = None) -> Dendrogram:
    """Hierarchical clustering by average linkage.

    Parameters
    ----------
    distance : float64 (n, n), symmetric.
    replicates : float64 (n_replicates, n, n), bootstrap replicates of it; without them support is NaN.
    """
    condensed = squareform(_hollow(distance), checks=False)
    tree = linkage(condensed, method="average", optimal_ordering=True)
    clades = _clades(tree)
    support = np.full(len(clades), np.nan)
    if replicates is not None:
        found = [
            set(_clades(linkage(squareform(_hollow(one), checks=False), method="average")))
            for one in replicates
        ]
        support = np.array([np.mean([clade in others for others in found]) for clade in clades])
    fit = float(cophenet(tree, condensed)[0]) if len(distance) > 2 else float("nan")
    return Dendrogram(tree, leaves_list(tree), fit, support)


def _hollow(distance: np.ndarray) -> np.ndarray:
    # a distance corrected for noise can fall below zero; the order of such pairs is noise
    return np.where(np.eye(len(distance), dtype=bool), 0.0, np.maximum((distance + distance.T) / 2, 0.0))


def _clades(tree: np.ndarray) -> list[frozenset[int]]:
    n = len(tree) + 1
    members = [frozenset([leaf]) for leaf in range(n)]
    for left, right, *_ in tree:
        members.append(members[int(left)] | members[int(right)])
    return members[n:]

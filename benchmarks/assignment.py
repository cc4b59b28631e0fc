"""Pairs of units like those of targeted ablation: seconds and sum, on few pairs and on all of them.

python benchmarks/assignment.py [WIDTH] [CHOSEN ...]

Chosen units lie in the tail of a layer's others, as a language's own neurons do: more frequent and of larger
output. Three sets are taken one after the other, as ``match_units`` does.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from babelscope.statistics.assignment import assign_nearest


def all_pairs(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The same on the matrix of all pairs."""
    return linear_sum_assignment(cdist(points, others, "sqeuclidean"))[1]


def main(width: int, sizes: list[int]) -> None:
    print("chosen,set,seconds,seconds_all_pairs,sum,ratio_of_sums,same_units")
    for n in sizes:
        rng = np.random.default_rng(n)
        points, free = rng.normal([1.3, 2.0], [0.3, 0.6], (n, 2)), rng.normal(size=(width - n, 2))
        for number in range(3):
            seconds, found = [], []
            for pair in (assign_nearest, all_pairs):
                start = time.process_time()
                found.append(pair(points, free))
                seconds.append(time.process_time() - start)
            sums = [float(((points - free[idx]) ** 2).sum()) for idx in found]
            same = np.array_equal(*map(np.sort, found))
            row = (n, number, *(round(s, 2) for s in seconds), round(sums[0], 4), sums[0] / sums[1], same)
            print(*row, sep=",", flush=True)
            free = np.delete(free, found[0], axis=0)


if __name__ == "__main__":
    main(int([*sys.argv, 11008][1]), [int(n) for n in sys.argv[2:]] or [300, 700, 1400, 1800])

"""Results of pruning that tests of claims judge, with the paper's values and the criteria."""

import json
from pathlib import Path

import numpy as np

from babelscope.evidence.claims import read_criteria

ROOT = Path(__file__).resolve().parents[3]
PAPER = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
CRITERIA = read_criteria(ROOT / "resources" / "claims.yaml")


def result(language, dense, pruned, compensated, random=(20.0, 21.0), kept=0.7):
    """One language's result of pruning: losses of documents of ten tokens."""
    n = np.full(len(dense), 10)
    documents = {"dense": dense, "pruned": pruned, "compensated": compensated}
    documents |= {f"random_{number}": [loss] * len(dense) for number, loss in enumerate(random)}
    sums = {name: (np.array(losses) * 10).tolist() for name, losses in documents.items()}
    return {
        "language": language,
        "parameters_kept": 1 - (1 - kept) / 2,
        "ffn_parameters_kept": kept,
        "documents": sums | {"n_predicted": n.tolist()},
    }

"""What the study of selectors measures: pruned models with their settings, in parts that can run alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Case:
    """One pruned model."""

    selector: str = "second_order"
    compensation: str = "ridge"
    share: float = 0.7
    budget: str = "equal"
    documents: int = 600
    ridge: float | None = None
    selection_ridge: float = 1.0
    group: int = 16
    first_token: bool = True
    relative: bool = True
    to_dense: bool = False
    distil: str = ""
    learning_rate: float = 1e-4
    epochs: int = 4
    others: int = 0

    @property
    def key(self) -> str:
        """What differs from the defaults."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return json.dumps(changed, sort_keys=True)


DENSE = Case("dense", "none", 1.0)
COMPENSATED = ("second_order", "wanda_sp", "flap", "output_norm", "frequency")
PLAIN = (
    "lape", "specificity", "probability", "magnitude", "output_norm", "weight_norm", "wanda_sp", "flap",
    "frequency", "output_experts", "second_order", "random", "least",
)  # fmt: skip
BEST = Case()


def _published(case: Case) -> Case:
    """With all tokens alike and without the first, as the literature fits."""
    return replace(case, first_token=False, relative=False)


def _at(share: float) -> list[Case]:
    """What is compared at one size: selectors compensated, those of the literature as published."""
    ours = [Case(selector, "ridge", share) for selector in COMPENSATED]
    theirs = [_published(Case(selector, "ridge", share)) for selector in ("second_order", "wanda_sp", "flap")]
    return [*ours, *theirs, _published(Case("flap", "bias", share))]


def parts() -> dict[str, list[Case]]:
    """Cases by part, the most telling first."""
    fit = [
        BEST,
        replace(BEST, budget="equal_error"),
        _published(BEST),
        replace(BEST, to_dense=True),
        replace(BEST, relative=False),
        replace(BEST, first_token=False),
        replace(BEST, budget="activation_level"),
        replace(BEST, budget="equal_error", to_dense=True),
    ]
    distil = [
        replace(BEST, distil=loss, learning_rate=rate, epochs=n)
        for loss, rate, n in (
            ("hidden", 1e-4, 4),
            ("logits", 1e-4, 4),
            ("logits", 3e-4, 4),
            ("logits", 3e-5, 4),
        )
    ]
    return {
        "fit": fit,
        "distil": distil,
        "others": [replace(BEST, others=n) for n in (20, 75)],
        "documents": [replace(BEST, documents=n) for n in (60, 200, 400, 890)],
        "ridge": [replace(BEST, ridge=r, selection_ridge=r) for r in (0.03, 0.3, 1.0, 3.0)],
        "ridge as published": [_published(replace(BEST, ridge=r, selection_ridge=r)) for r in (0.03, 0.3)],
        "group": [replace(BEST, group=n) for n in (1, 4, 64, 256)],
        "frontier": [case for share in (0.7, 0.5, 0.9, 0.6, 0.8) for case in _at(share)],
        "plain": [Case(selector, "none", share) for share in SHARES for selector in PLAIN],
    }

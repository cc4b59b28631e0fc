"""What the study of selectors measures: pruned models with their settings, in parts that can run alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
ASIDE = 6  # one profile document of so many is set aside where a whole model is validated


@dataclass(frozen=True)
class Case:
    """One pruned model."""

    selector: str = "second_order"
    compensation: str = "ridge"
    share: float = 0.7
    budget: str = "equal"
    documents: int = 600
    ridge: float | None = None
    selection_ridge: float = 0.03
    group: int = 16
    first_token: bool = True
    relative: bool = True
    to_dense: bool = False
    distil: str = ""
    learning_rate: float = 1e-4
    epochs: int = 4
    others: int = 0  # documents of each other language, pooled with a weight for each layer
    aside: bool = False
    attention: bool = False
    metric: bool = False  # errors of the output as the loss's gradient sees them
    pool: str = ""  # languages whose documents layers' costs are measured on, joined by "+"; none: the own
    pool_documents: int = 100  # of all of them together

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


def _published(case: Case) -> Case:
    """With all tokens alike and without the first, as the literature fits; with less ridge this breaks."""
    ridge = 1.0 if case.selector == "second_order" else case.selection_ridge
    return replace(case, first_token=False, relative=False, selection_ridge=ridge)


def best(model: str) -> Case:
    """The default method: errors are relative where the family normalises what the layer says."""
    return Case(relative=model.startswith("gemma"))


def _core(base: Case, share: float) -> list[Case]:
    """The best one, and what it is compared with: SlimGPT and Wanda-sp with ridge, FLAP as published."""
    theirs = [_published(Case(selector, "ridge", share)) for selector in ("second_order", "wanda_sp")]
    return [replace(base, share=share), *theirs, _published(Case("flap", "bias", share))]


def _rest(base: Case, share: float) -> list[Case]:
    """Other selectors with the same compensation."""
    ours = [replace(base, selector=selector, share=share) for selector in COMPENSATED[1:]]
    return [*ours, _published(Case("flap", "ridge", share))]


def parts(model: str) -> dict[str, list[Case]]:
    """Cases by part, the most telling first."""
    order, base = (0.7, 0.5, 0.9, 0.6, 0.8), best(model)
    more = replace(base, documents=890, others=200, budget="equal_loss")
    aside = replace(more, aside=True)
    budgets = ("equal_error", "half_error")
    cost = replace(base, metric=True, budget="equal_cost")
    shared = replace(base, budget="equal_cost", pool="en+fr", pool_documents=200)  # the library's default
    pools = ("en", "en+hi+ar", "en+fr+es+pt+bn+ur+hi+ar+zh")
    return {
        "best": [base, replace(base, documents=890), replace(cost, documents=890)],
        "sizes": [replace(base, share=share) for share in order],
        "budgets": [replace(base, documents=890, budget=budget) for budget in budgets],
        "cost": [replace(cost, share=share) for share in order],
        "metric": [replace(cost, documents=890, budget="equal"), replace(cost, documents=890, metric=False)],
        "shared": [
            shared,
            replace(shared, pool="", pool_documents=100),
            *(replace(shared, pool=pool) for pool in pools),
            replace(shared, pool_documents=60),
            replace(shared, pool_documents=600),
            replace(_published(base), budget="equal_cost", pool="en+fr", pool_documents=200),
            replace(shared, metric=True),
        ],
        "shared sizes": [replace(shared, share=share) for share in order],
        "frontier": [case for share in order for case in _core(base, share)],
        "candidates": [
            replace(base, budget="half_error"),
            replace(base, budget="equal_error"),
            replace(base, others=100),
            replace(base, budget="equal_loss"),
            more,
            replace(base, attention=True),
            replace(base, documents=890, others=200),
        ],
        "documents": [replace(base, documents=n) for n in (60, 200, 400, 890)],
        "ridge": [replace(base, ridge=r, selection_ridge=r) for r in (0.03, 0.3, 1.0, 3.0)],
        "selection ridge": [replace(base, selection_ridge=r) for r in (0.003, 0.01, 0.03, 0.1, 1.0)],
        "group": [replace(base, group=n) for n in (64, 256, 4, 16)],
        "plain": [Case(selector, "none", share) for share in SHARES for selector in PLAIN],
        "compensated": [case for share in order for case in _rest(base, share)],
        "fit": [
            replace(base, budget="equal_error"),
            _published(base),
            replace(base, to_dense=True),
            replace(base, relative=not base.relative),
            replace(base, first_token=False),
            replace(base, budget="activation_level"),
            replace(base, budget="equal_error", to_dense=True),
        ],
        "distil": [
            replace(base, aside=True),
            *(
                replace(base, distil=loss, learning_rate=rate, aside=True)
                for loss, rate in (("logits", 1e-5), ("logits", 3e-5), ("hidden", 1e-5), ("logits", 3e-6))
            ),
        ],
        "distil more": [
            aside,
            *(replace(aside, distil="logits", learning_rate=rate) for rate in (1e-5, 3e-5)),
        ],
        "ridge as published": [_published(replace(base, ridge=r, selection_ridge=r)) for r in (0.03, 0.3)],
    }

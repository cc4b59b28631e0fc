"""How many neurons each layer keeps: a closed table of layer budgets, and selection within them.

To add a budget, add a row to ``BUDGETS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from babelscope.pruning.choice import keep_best, keep_best_per_layer, layer_sizes
from babelscope.pruning.selectors import SELECTORS, Evidence, Removals
from babelscope.study.errors import require


@dataclass(frozen=True)
class Budget:
    """One way to share a number of neurons out among the layers.

    Attributes
    ----------
    sizes : int (n_layers,), neurons to keep, out of the evidence and the share of all neurons.
    needs : attributes of ``Evidence`` that it looks at.
    """

    sizes: Callable[[Evidence, float], np.ndarray]
    needs: tuple[str, ...]


def equal(evidence: Evidence, share: float) -> np.ndarray:
    """The same share of each layer."""
    n_layers, d_ff = evidence.norms.down.shape
    return np.full(n_layers, round(share * d_ff))


def by_activation_level(evidence: Evidence, share: float) -> np.ndarray:
    """In proportion to the mean probability of a layer's neurons, see ``choice.layer_sizes``."""
    return layer_sizes(evidence.own.probability, share)


def by_equal_error(evidence: Evidence, share: float) -> np.ndarray:
    """So that the last neuron to go costs every layer the same share of its squared output."""
    require(evidence.removals is not None, "layer budget equal_error: no elimination was given")
    return equal_errors(evidence.removals, share)  # type: ignore[arg-type]


def equal_errors(removals: Removals, share: float) -> np.ndarray:
    """Neurons to keep, int (n_layers,), so that the last one to go costs every layer the same error.

    Of all layers' neurons, in the order of their elimination, those whose removal raises the layer's error
    least are taken away; errors along the order are made to rise first.
    """
    order = np.argsort(removals.rank, axis=1, kind="stable")
    rising = np.maximum.accumulate(np.take_along_axis(removals.error, order, axis=1), axis=1)
    return keep_best(rising, round(share * removals.rank.size)).sum(axis=1)


BUDGETS: dict[str, Budget] = {
    "equal": Budget(equal, ("norms",)),
    "activation_level": Budget(by_activation_level, ("own",)),
    "equal_error": Budget(by_equal_error, ("removals",)),
}


def select_neurons(evidence: Evidence, selector: str, share: float, budget: str = "equal") -> np.ndarray:
    """The neurons that a language keeps.

    Parameters
    ----------
    evidence : what was measured.
    selector : a row of ``SELECTORS``.
    share : of the neurons to keep, in (0, 1].
    budget : a row of ``BUDGETS``: ``equal`` (the same share of each layer), ``activation_level`` (in
        proportion to the mean probability of a layer's neurons), ``equal_error`` (the last neuron to go costs
        every layer the same).

    Returns
    -------
    bool (n_layers, d_ff); ties go to the lower index.

    Raises
    ------
    BabelscopeError
        For an unknown selector or budget, a share out of range, or evidence that was not given.
    """
    require(selector in SELECTORS, f"selector {selector!r}: allowed are {', '.join(SELECTORS)}")
    require(budget in BUDGETS, f"layer budget {budget!r}: allowed are {', '.join(BUDGETS)}")
    require(0 < share <= 1, f"share {share} of the neurons: it must be in (0, 1]")
    return keep_best_per_layer(SELECTORS[selector].score(evidence), BUDGETS[budget].sizes(evidence, share))

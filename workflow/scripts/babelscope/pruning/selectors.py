"""Which neurons are a language's: the literature's scores from neuron statistics and weights, no torch.

To add a selector, add a row to ``SELECTORS``: a function of ``Evidence`` whose larger values are kept. How
many each layer keeps is in ``budgets``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_down_blocks, read_rows
from babelscope.pruning.choice import expert_scores
from babelscope.recording.neurons import NeuronStatistics
from babelscope.study.errors import require


@dataclass(frozen=True)
class NeuronNorms:
    """Norms of the weights of every neuron, each float64 (n_layers, d_ff).

    Attributes
    ----------
    rows : Euclidean norm of the neuron's row in up, times that in gate where there is one.
    down : Euclidean norm of its column in down.
    down_l1 : sum of the absolute values of its column in down.
    """

    rows: np.ndarray
    down: np.ndarray
    down_l1: np.ndarray


def read_neuron_norms(info: ModelInfo) -> NeuronNorms:
    """Read the norms off the weights of a prepared model, one matrix at a time."""
    rows, columns = [], []
    parts = ("up", "gate") if info.gated else ("up",)
    for layer in range(info.n_layers):
        columns.append(_column_norms(info, layer))
        rows.append(
            np.prod([_norm(read_rows(info.path, info.family, layer, part)) for part in parts], axis=0)
        )
    down, down_l1 = (np.stack(norms) for norms in zip(*columns, strict=True))
    return NeuronNorms(np.stack(rows), down, down_l1)


def read_output_norms(info: ModelInfo) -> np.ndarray:
    """Read ``NeuronNorms.down`` alone, float64 (n_layers, d_ff)."""
    return np.stack([_column_norms(info, layer)[0] for layer in range(info.n_layers)])


def _column_norms(info: ModelInfo, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean norm of every neuron's column in down, and the sum of its absolute values."""
    squares, magnitudes = np.float64(0.0), np.float64(0.0)
    for rows in read_down_blocks(info.path, info.family, layer):
        squares = squares + np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
        magnitudes = magnitudes + np.abs(rows).sum(axis=0, dtype=np.float64)
    return np.sqrt(squares), np.asarray(magnitudes)


def _norm(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


@dataclass(frozen=True)
class ExpertFrequencies:
    """How often a language uses each expert.

    Attributes
    ----------
    frequency : float64 (n_layers, n_experts), in [0, 1].
    labels : int (n_layers, d_ff), expert of each neuron.
    """

    frequency: np.ndarray
    labels: np.ndarray

    def spread(self, scores: np.ndarray) -> np.ndarray:
        """Rank of each neuron's expert by the scores (n_layers, n_experts), so that experts stay whole."""
        rank = np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")
        return np.take_along_axis(rank, self.labels, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Removals:
    """In which order neurons go by second-order elimination, see ``second_order``.

    Attributes
    ----------
    rank : float64 (n_layers, d_ff), place in the layer's order; what never went is behind all.
    error : float64 (n_layers, d_ff), increase of the layer's squared output error when it went, as a share of
        the squared output; infinite for what never went.
    """

    rank: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What selectors may look at; what is None was not measured.

    Attributes
    ----------
    own : statistics of the language's neurons.
    others : those of the other languages that are compared.
    norms : of the weights.
    seed : decides what is random.
    experts : how often the language uses the experts.
    removals : second-order elimination on the language's documents.
    """

    own: NeuronStatistics
    others: Sequence[NeuronStatistics]
    norms: NeuronNorms
    seed: int = 0
    experts: ExpertFrequencies | None = None
    removals: Removals | None = None


@dataclass(frozen=True)
class Selector:
    """One way to rank the neurons of a language.

    Attributes
    ----------
    name : in tables and files.
    reference : where it comes from.
    needs : attributes of ``Evidence`` that it looks at.
    score : float64 (n_layers, d_ff); larger is more the language's.
    bias : whether the mean of what is removed becomes a bias as published.
    control : whether it is there to be compared with.
    """

    name: str
    reference: str
    needs: tuple[str, ...]
    score: Callable[[Evidence], np.ndarray]
    bias: bool = False
    control: bool = False


@dataclass(frozen=True)
class Lape:
    """Language activation probability entropy of every neuron, and which neurons are which language's.

    Attributes
    ----------
    entropy : float64 (n_layers, d_ff), in nats; infinite where no language's probability is above the bar
        of ``filter_rate``.
    specific : bool (n_languages, n_layers, d_ff), the published sets.
    """

    entropy: np.ndarray
    specific: np.ndarray


def lape(
    probabilities: np.ndarray, top_rate: float = 0.05, filter_rate: float = 0.95, bar_rate: float = 0.95
) -> Lape:
    """Language-specific neurons by LAPE (Tang et al. 2024, arXiv 2402.16438).

    With ``p[k]`` the share of language k's tokens for which the neuron's gate is positive and ``q = p /
    sum_k p[k]``, the entropy is ``-sum_k q[k] ln q[k]`` (0 for a neuron that is never positive). Neurons with
    no ``p[k]`` above the ``filter_rate`` quantile of all p are left out. Of the rest, the share ``top_rate``
    (of all neurons) with the lowest entropy is specific; each of them is of the languages for which ``p[k]``
    is above the ``bar_rate`` quantile. A quantile is the value of rank ``round(rate * number)``.

    Parameters
    ----------
    probabilities : float64 (n_languages, n_layers, d_ff), in [0, 1].
    top_rate, filter_rate, bar_rate : as published by default, in (0, 1].

    Returns
    -------
    Entropy and sets; of neurons with the same entropy the first ones are taken.
    """
    total = probabilities.sum(axis=0)
    share = np.divide(probabilities, total, out=np.zeros_like(probabilities), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    entropy = -(share * logs).sum(axis=0)
    entropy[~(probabilities > _quantile(probabilities, filter_rate)).any(axis=0)] = np.inf
    lowest = np.zeros(entropy.size, dtype=bool)
    lowest[np.argsort(entropy, axis=None, kind="stable")[: round(entropy.size * top_rate)]] = True
    above = probabilities > _quantile(probabilities, bar_rate)
    return Lape(entropy, above & lowest.reshape(entropy.shape))


def _quantile(values: np.ndarray, rate: float) -> float:
    rank = round(values.size * rate) - 1
    require(0 <= rank < values.size, f"rate {rate} of {values.size} values: no such rank")
    return float(np.partition(values, rank, axis=None)[rank])


def score_lape(evidence: Evidence) -> np.ndarray:
    """Rank of LAPE for a budget of any size: ``-entropy``, neurons that are the language's before all others.

    A neuron is the language's where its own probability is above the 95 % quantile of all probabilities (see
    ``lape``); the score of all others is lower by more than an entropy can be, ``1 + ln n_languages``. Among
    the others, those above the bar in no language come last.
    """
    probabilities = np.stack([found.probability for found in (evidence.own, *evidence.others)])
    gap = 1 + np.log(len(probabilities))
    entropy = np.minimum(lape(probabilities).entropy, gap)
    return np.where(probabilities[0] > _quantile(probabilities, 0.95), 0.0, -gap) - entropy


def score_specificity(evidence: Evidence) -> np.ndarray:
    """``p[own] - max_k p[k]`` over the other languages, p the share of tokens with a positive gate."""
    require(len(evidence.others) > 0, "selector specificity: there is no other language")
    return evidence.own.probability - np.max([found.probability for found in evidence.others], axis=0)


def score_probability(evidence: Evidence) -> np.ndarray:
    """``p = n_positive / n_tokens`` of the own language."""
    return evidence.own.probability


def score_magnitude(evidence: Evidence) -> np.ndarray:
    """``mean_t |h_t|``: mean absolute activation."""
    return evidence.own.mean_magnitude


def score_output(evidence: Evidence) -> np.ndarray:
    """``mean_t |h_t| * ||down[:, i]||_2``: mean norm of what the neuron adds to the layer's output."""
    return evidence.own.mean_magnitude * evidence.norms.down


def score_weight(evidence: Evidence) -> np.ndarray:
    """``||up[i]||_2 * ||gate[i]||_2 * ||down[:, i]||_2``; the data play no part."""
    return evidence.norms.rows * evidence.norms.down


def score_wanda(evidence: Evidence) -> np.ndarray:
    """``sum_j |down[j, i]| * sqrt(mean_t h_t**2)``: Wanda's score of a weight, summed over the column."""
    return evidence.norms.down_l1 * np.sqrt(evidence.own.mean_square)


def score_flap(evidence: Evidence) -> np.ndarray:
    """``var_t h_t * ||down[:, i]||_2**2``: how much the output fluctuates; its mean can become a bias."""
    return evidence.own.variance * evidence.norms.down**2


def score_frequency(evidence: Evidence) -> np.ndarray:
    """Rank of the neuron's expert by frequency: the paper's measure, experts stay whole but for the last."""
    experts = _experts(evidence)
    return experts.spread(experts.frequency)


def score_output_experts(evidence: Evidence) -> np.ndarray:
    """Rank of the neuron's expert by the mean ``score_output`` of its neurons."""
    experts = _experts(evidence)
    scores = expert_scores(score_output(evidence), experts.labels, experts.frequency.shape[1])
    return experts.spread(scores)


def _experts(evidence: Evidence) -> ExpertFrequencies:
    require(evidence.experts is not None, "selectors of experts: how often experts are used was not given")
    return evidence.experts  # type: ignore[return-value]


def score_second_order(evidence: Evidence) -> np.ndarray:
    """Place in the order of elimination: what the corrected output misses least goes first."""
    require(evidence.removals is not None, "selector second_order: no elimination was given")
    return evidence.removals.rank  # type: ignore[union-attr]


def score_random(evidence: Evidence) -> np.ndarray:
    """Uniform random numbers: the control with as many neurons per layer."""
    return np.random.default_rng(evidence.seed).random(evidence.norms.down.shape)


def score_least(evidence: Evidence) -> np.ndarray:
    """Minus ``score_output``: the control that keeps what says least."""
    return -score_output(evidence)


_OWN = ("own",)
_ALL = ("own", "others")
_TANG = "Tang et al. 2024, arXiv 2402.16438"
_AN = "An et al. 2024, arXiv 2312.11983"
_ROWS = (
    Selector("lape", _TANG, _ALL, score_lape),
    Selector("specificity", "difference of the probabilities of LAPE", _ALL, score_specificity),
    Selector("probability", f"baseline of {_TANG}", _OWN, score_probability),
    Selector("magnitude", "mean absolute activation", _OWN, score_magnitude),
    Selector("output_norm", "mean absolute activation times norm of weights", ("own", "norms"), score_output),
    Selector("weight_norm", "norm of weights", ("norms",), score_weight),
    Selector("wanda_sp", f"Sun et al. 2024, arXiv 2306.11695; {_AN}", ("own", "norms"), score_wanda),
    Selector("flap", _AN, ("own", "norms"), score_flap, bias=True),
    Selector("frequency", "the paper's experts", ("experts",), score_frequency),
    Selector(
        "output_experts", "experts of largest output", ("own", "norms", "experts"), score_output_experts
    ),
    Selector("second_order", "Ling et al. 2024, arXiv 2412.18110", ("removals",), score_second_order),
    Selector("random", "control", ("norms", "seed"), score_random, control=True),
    Selector("least", "control", ("own", "norms"), score_least, control=True),
)
SELECTORS = {row.name: row for row in _ROWS}

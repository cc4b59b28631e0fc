"""Check that a model is recorded correctly: its own weights and a float64 reference against the fast path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.experts.partition import ExpertPartition
from babelscope.model.info import ModelInfo
from babelscope.model.layers import FfnLayer, take_neurons
from babelscope.model.load import StudyModel
from babelscope.recording.reference import reference_active, reference_z
from babelscope.recording.scores import ExpertLayout, select_active
from babelscope.recording.tap import ExpertTap
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger
from babelscope.text.batches import make_batches
from babelscope.text.tokens import TokenizedCorpus

# Half precision rounds hidden states after each of some dozen operations a layer, and the fast path adds up
# neurons in another order: a z-score may move by this many times the type's epsilon, for instance 0.3 in
# bfloat16 and 5e-6 in float32.
_Z_EPSILONS = 40.0


@dataclass(frozen=True)
class Check:
    """One check: ``value`` has to stay at or below ``bound``; ``meaning`` describes the comparison."""

    name: str
    value: float
    bound: float
    meaning: str

    @property
    def passed(self) -> bool:
        return bool(self.value <= self.bound)


def check_model(
    model: StudyModel,
    info: ModelInfo,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    top_k: int,
    n_tokens: int = 256,
) -> list[Check]:
    """Check a loaded model on the first documents of a language.

    Parameters
    ----------
    model : back as it was on return.
    info : its family and activation function.
    corpus : documents; profile documents are used until they hold ``n_tokens`` tokens.
    partition, top_k : experts, and how many of them are active for a token.

    Returns
    -------
    Checks of: the activations (recomputed from the layer's input), the output of the feed-forward layers,
    the dense model against itself with all experts kept, and the active experts of every token.
    """
    if any(layer.down.weight.device.type == "meta" for layer in model.layers):
        raise BabelscopeError(
            f"model {info.name}: its device_map leaves weights out of the devices; check it where it fits"
        )
    documents = _first_documents(corpus, n_tokens)
    epsilon = torch.finfo(model.layers[0].down.weight.dtype).eps
    activations, outputs = _layer_errors(model, info, corpus, int(documents[0]))
    passes = [_plain_pass(model, corpus, int(idx), partition) for idx in documents]
    hidden, z = (np.concatenate(part) for part in zip(*passes, strict=True))
    kept = np.concatenate(_all_experts_kept(model, corpus, documents, partition))
    fast_z, fast = _fast_path(model, corpus, documents, partition, top_k)
    slow = reference_active(z, top_k)
    differing = slow != fast
    cut = np.sort(z, axis=1)[:, -top_k][:, None]
    distance = np.abs(z - cut)[differing].max(initial=0.0)
    n_decisions = differing.size
    z_bound = _Z_EPSILONS * epsilon * max(1.0, float(np.abs(z).max()))
    return [
        Check(
            "activations",
            activations,
            4 * epsilon + 1e-5,
            "largest error of a hooked activation against act(gate x) * up x in float64, relative to the "
            "largest activation of its layer",
        ),
        Check(
            "ffn_output",
            outputs,
            4 * epsilon + 1e-5,
            "hooked activations pushed through the down projection in float64 against the layer's own "
            "output, relative norm of the difference, worst layer",
        ),
        Check(
            "all_experts_kept",
            _relative(hidden, kept),
            30 * epsilon + 1e-5,
            "last hidden states of the dense model against the model with all neurons in the order of their "
            "experts, relative norm of the difference",
        ),
        Check(
            "z_scores",
            float(np.abs(fast_z - z).max()),
            z_bound,
            "largest difference between a z-score of the fast path and of the float64 reference",
        ),
        Check(
            "active_experts",
            float(differing.mean()),
            0.001 if epsilon < 1e-4 else 0.02,
            f"share of {n_decisions} (token, expert) decisions that differ from the float64 reference",
        ),
        Check(
            "distance_to_cut",
            float(distance),
            2 * z_bound,
            "largest distance of a differing decision's z-score from the cut: within rounding",
        ),
    ]


def report_checks(checks: Sequence[Check], model: str, dtype: str, n_tokens: int) -> dict[str, Any]:
    """Log one line per check and return the content of ``check.json``.

    Raises
    ------
    BabelscopeError
        Where a check fails, with the names of all that do.
    """
    for check in checks:
        verdict = "passed" if check.passed else "FAILED"
        logger.info(
            "%s %-17s %.3g (bound %.3g): %s", verdict, check.name, check.value, check.bound, check.meaning
        )
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise BabelscopeError(
            f"model {model}: {', '.join(failed)} failed: what is recorded would be wrong. If its family was "
            "added to the table in workflow/scripts/babelscope/model/families.py, look at its row first"
        )
    return {
        "format": "babelscope/check",
        "format_version": 1,
        "model": model,
        "dtype": dtype,
        "n_tokens": n_tokens,
        "checks": [{**asdict(check), "passed": check.passed} for check in checks],
    }


def _first_documents(corpus: TokenizedCorpus, n_tokens: int) -> np.ndarray:
    lengths = np.diff(corpus.offsets)[corpus.profile_idx]
    n_documents = int(np.searchsorted(np.cumsum(lengths), n_tokens)) + 1
    return corpus.profile_idx[:n_documents]


def _plain_pass(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document: int,
    partition: ExpertPartition,
) -> tuple[np.ndarray, np.ndarray]:
    """One document through the model as it is: last hidden states, and z-scores by the reference."""
    with _catch(model.layers) as caught:
        hidden = _hidden(model, corpus, document)
    pairs = zip(caught, partition.labels, strict=True)
    z = [reference_z(activations, labels, partition.n_experts) for (_, activations, _), labels in pairs]
    return hidden, np.concatenate(z, axis=1)


@contextmanager
def _catch(layers: Sequence[FfnLayer]) -> Iterator[list[list[np.ndarray]]]:
    """Keep the input, the activations and the output of every feed-forward layer, float64."""
    caught: list[list[np.ndarray]] = [[] for _ in layers]
    hooks = []
    for layer, kept in zip(layers, caught, strict=True):
        hooks += [
            layer.up.register_forward_pre_hook(lambda _m, args, kept=kept: kept.append(_rows(args[0]))),
            layer.down.register_forward_pre_hook(lambda _m, args, kept=kept: kept.append(_rows(args[0]))),
            layer.down.register_forward_hook(lambda _m, _args, out, kept=kept: kept.append(_rows(out))),
        ]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def _layer_errors(
    model: StudyModel, info: ModelInfo, corpus: TokenizedCorpus, document: int
) -> tuple[float, float]:
    """Largest errors over the layers of the activations and of the output, both relative."""
    with _catch(model.layers) as caught:
        _hidden(model, corpus, document)
    errors = []
    for layer, (inputs, activations, output) in zip(model.layers, caught, strict=True):
        expected = _activations(layer, info, inputs)
        error = np.abs(expected - activations).max() / np.abs(expected).max()
        errors.append((float(error), _relative(output, _linear(layer.down, activations))))
    return max(error for error, _ in errors), max(error for _, error in errors)


def _activations(layer: FfnLayer, info: ModelInfo, inputs: np.ndarray) -> np.ndarray:
    from transformers.activations import ACT2FN

    act = ACT2FN[info.activation.removeprefix("(fixed: ").removesuffix(")")]
    up = _linear(layer.up, inputs)
    if layer.fused_gate:
        gate, up = np.split(up, 2, axis=1)
    elif layer.gate is not None:
        gate = _linear(layer.gate, inputs)
    else:
        gate, up = up, np.ones_like(up)
    return act(torch.from_numpy(gate)).numpy() * up


def _all_experts_kept(
    model: StudyModel,
    corpus: TokenizedCorpus,
    documents: np.ndarray,
    partition: ExpertPartition,
) -> list[np.ndarray]:
    orders = [ExpertLayout.from_labels(row, partition.n_experts).order for row in partition.labels]
    take_neurons(model.layers, orders)
    try:
        return [_hidden(model, corpus, int(idx)) for idx in documents]
    finally:
        take_neurons(model.layers, [torch.argsort(order) for order in orders])


def _fast_path(
    model: StudyModel,
    corpus: TokenizedCorpus,
    documents: np.ndarray,
    partition: ExpertPartition,
    top_k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """z-scores and active experts of all tokens, document after document, as the recording makes them."""
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    with ExpertTap(model, [partition]) as tap:
        for batch in make_batches(corpus, documents, 128):
            tap.run(torch.from_numpy(batch.token_ids).to(tap.device))
            z = tap.z[0].flatten(1)
            active = select_active(z, top_k).unflatten(0, batch.token_ids.shape).cpu().numpy()
            tables = z.clone().unflatten(0, batch.token_ids.shape).cpu().numpy()
            for row, (idx, n_real) in enumerate(zip(batch.document_idx, batch.n_real, strict=True)):
                rows[int(idx)] = tables[row, :n_real], active[row, :n_real]
    chosen = [rows[int(idx)] for idx in documents]
    return np.concatenate([z for z, _ in chosen]), np.concatenate([active for _, active in chosen])


def _hidden(model: StudyModel, corpus: TokenizedCorpus, document: int) -> np.ndarray:
    """Last hidden states of one document with its BOS, float64 (n_tokens, d_model)."""
    bos = [corpus.bos_token_id] if corpus.bos_token_id >= 0 else []
    return _rows(model.hidden(np.array([[*bos, *corpus.document(document).tolist()]])))


def _linear(linear: nn.Linear, inputs: np.ndarray) -> np.ndarray:
    product = inputs @ _rows(linear.weight).T
    return product if linear.bias is None else product + linear.bias.double().cpu().numpy()


def _rows(value: torch.Tensor) -> np.ndarray:
    return value.detach().reshape(-1, value.shape[-1]).double().cpu().numpy()


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))

"""What the jobs of pruned mixtures of experts read, compute and write."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelscope.files.hdf5 import write_h5
from babelscope.files.record import write_record
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.pruning.choice import draw_generator
from babelscope.pruning.export import copy_tokenizer
from babelscope.pruning.routed import expert_saliency, kept_size, remove_experts
from babelscope.pruning.routed_choice import SALIENCY, RoutedStatistics, keep_for, routed_statistics
from babelscope.pruning.routed_matrix import evaluate_routed
from babelscope.pruning.routed_tables import ROUTED_PRUNING
from babelscope.recording.together import read_recordings
from babelscope.text.tokens import TokenizedCorpus


def read_statistics(paths: Any, model: str, languages: Sequence[str]) -> dict[str, RoutedStatistics]:
    """Statistics by language, from the files ``activations`` and ``saliency`` of all languages."""
    counts = dict(zip(languages, read_recordings(paths.activations, model, languages), strict=True))
    return routed_statistics(counts, paths.saliency, model)


def score_to_file(
    path: str, info: ModelInfo, compute: Compute, corpus: TokenizedCorpus, language: str, n_documents: int
) -> None:
    """Write ``saliency/{lang}.h5`` from the first profile documents of a language."""
    model = load_model(info, compute)
    found = expert_saliency(model, corpus, corpus.profile_idx[:n_documents])
    write_h5(path, SALIENCY, {"saliency": found}, model=info.name, language=language)


def evaluate_to_file(
    path: str,
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    language: str,
    targets: Mapping[str, Sequence[str]],
    statistics: Mapping[str, RoutedStatistics],
    settings: Mapping[str, Any],
) -> None:
    """Write ``routed_pruning/{lang}.json``; ``settings``: keyword arguments of ``evaluate_routed``."""
    model = load_model(info, compute)
    result = evaluate_routed(model, corpus, language, targets, statistics, **settings)
    write_record(path, ROUTED_PRUNING, result, model=info.name, language=language)


def export_routed(
    folder: str | Path,
    info: ModelInfo,
    dtype: str,
    statistics: Mapping[str, RoutedStatistics],
    target: str,
    selector: str,
    share: float,
    seed: int,
) -> None:
    """Save a mixture of experts with a share of its experts, as many in each layer, whole or not at all.

    Parameters
    ----------
    folder : what is there is replaced. Plain ``from_pretrained`` loads it.
    info, dtype : the dense model, and the type of the weights.
    statistics : of the languages that the model is for. target : their name.
    selector, share : a row of ``ROUTED_SELECTORS``, and the share of experts that stay. seed : for random.
    """
    folder, model = Path(folder), load_model(info, Compute(dtype, "cpu"))
    n_kept, n_experts, groups = kept_size(model, share)
    rng = draw_generator(seed, "routed", target, selector)
    remove_experts(model, keep_for(list(statistics.values()), selector, n_kept, groups, rng))
    part = Path(f"{folder}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.module.save_pretrained(part)  # type: ignore[operator]
    copy_tokenizer(info.path, part)
    text = (
        f"# {info.name}, for {', '.join(statistics)}\n\n{n_kept} of {n_experts} routed experts in each "
        f"layer of {info.name} ({info.origin}), chosen by {selector} (Babelscope); nothing is trained. The "
        "licence of the model holds.\n\n```python\nfrom transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(FOLDER)\n```\n"
    )
    (part / "README.md").write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)

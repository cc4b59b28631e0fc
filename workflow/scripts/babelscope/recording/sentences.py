"""Sentences of several languages recorded in one call, without files and without a workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.record import RecordingSettings, make_variants, record_activations
from babelscope.study.errors import naming
from babelscope.text.tokenise import tokenize_texts

# Of the paper: 800 of the 32 x 256 experts of Llama 2 7B.
TOP_FRACTION = 800 / 8192


def record_sentences(
    info: ModelInfo,
    partition: ExpertPartition,
    sentences: Mapping[str, Sequence[str]],
    *,
    top_fraction: float = TOP_FRACTION,
    compute: Compute | None = None,
    settings: RecordingSettings | None = None,
) -> dict[str, ActivationCounts]:
    """Count how often the tokens of each language activate each expert.

    Parameters
    ----------
    info : a prepared model (``describe_folder``, ``prepare_model`` or ``read_model_info``), loaded once.
    partition : its experts.
    sentences : texts by language; names of languages are free.
    top_fraction : share of all experts that is active for a token, in (0, 1).
    compute : type, device, size of batches; None: float32 on a GPU where there is one.
    settings : blocks and segments; None: the defaults of the study.

    Returns
    -------
    Counts by language, in the order of ``sentences``.

    Raises
    ------
    BabelscopeError
        For a language without sentences, a sentence without tokens, a partition of another model, or NaN or
        infinite activations.
    """
    corpora = {}
    for language, texts in sentences.items():
        with naming(language):
            corpora[language] = tokenize_texts(info, texts)
    variants = make_variants({"main": partition}, top_fraction)
    model, settings = load_model(info, compute), settings or RecordingSettings()
    return {
        language: record_activations(model, corpus, corpus.profile_idx, variants, settings).counts["main"]
        for language, corpus in corpora.items()
    }

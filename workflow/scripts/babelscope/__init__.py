"""Babelscope: which parts of a multilingual language model work for which language."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The public face: where each name lives. Nothing is imported before it is asked for.
_PUBLIC = {
    "BalancedKMeans": "babelscope.experts.estimator",
    "Compute": "babelscope.model.compute",
    "ExpertPartition": "babelscope.experts.partition",
    "StudyModel": "babelscope.model.load",
    "compare_languages": "babelscope.comparison.similarity",
    "load_exported": "babelscope.pruning.export",
    "load_model": "babelscope.model.load",
    "read_activations": "babelscope.recording.counts",
    "read_frequency": "babelscope.comparison.frequency",
    "read_languages": "babelscope.study.languages",
    "read_model_info": "babelscope.model.info",
    "read_neurons": "babelscope.recording.neurons",
    "read_partition": "babelscope.experts.partition",
    "read_plan": "babelscope.pruning.pruned_model",
    "read_rows": "babelscope.model.weights",
    "read_similarity": "babelscope.comparison.similarity",
    "read_tokens": "babelscope.text.tokens",
    "resource_path": "babelscope.study.resources",
    "record_activations": "babelscope.recording.record",
    "stack_frequencies": "babelscope.comparison.similarity",
    "tokenize_documents": "babelscope.text.tokenise",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'babelscope' has no attribute {name!r}")

"""Babelscope: which parts of a multilingual language model work for which language."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The public face: where each name lives. Nothing is imported before it is asked for.
_PUBLIC = {
    "BalancedKMeans": "babelscope.experts.estimator",
    "Choice": "babelscope.pruning.evaluate",
    "Compute": "babelscope.model.compute",
    "ControlSettings": "babelscope.pruning.controls",
    "ExpertPartition": "babelscope.experts.partition",
    "Look": "babelscope.figures.style",
    "RecordingSettings": "babelscope.recording.record",
    "StudyModel": "babelscope.model.load",
    "apply_plan": "babelscope.pruning.pruned_model",
    "compare_languages": "babelscope.comparison.similarity",
    "count_sharing": "babelscope.comparison.sharing",
    "cut_experts": "babelscope.experts.controls",
    "describe_model": "babelscope.model.info",
    "evaluate_language": "babelscope.pruning.evaluate",
    "export_pruned": "babelscope.pruning.export",
    "load_exported": "babelscope.pruning.export",
    "load_model": "babelscope.model.load",
    "plan_pruning": "babelscope.pruning.evaluate",
    "prepare_model": "babelscope.model.prepare",
    "read_activations": "babelscope.recording.counts",
    "read_contexts": "babelscope.explorer.contexts",
    "read_corpora": "babelscope.evidence.corpus_distances",
    "read_criteria": "babelscope.evidence.claims",
    "read_documents": "babelscope.text.documents",
    "read_family_tests": "babelscope.evidence.families",
    "read_frequency": "babelscope.comparison.frequency",
    "read_frequency_intervals": "babelscope.evidence.draws",
    "read_json": "babelscope.files.whole",
    "read_languages": "babelscope.study.languages",
    "read_layer_costs": "babelscope.pruning.layer_costs",
    "read_layer_sse": "babelscope.experts.layer_file",
    "read_model_info": "babelscope.model.info",
    "read_neurons": "babelscope.recording.neurons",
    "read_partition": "babelscope.experts.partition",
    "read_peaks": "babelscope.recording.peaks",
    "read_plan": "babelscope.pruning.pruned_model",
    "read_replicates": "babelscope.evidence.replicates",
    "read_responses": "babelscope.responses.measures",
    "read_rows": "babelscope.model.weights",
    "read_saliency": "babelscope.pruning.routed_choice",
    "read_sentences": "babelscope.evidence.sentences",
    "read_sharing": "babelscope.comparison.sharing",
    "read_similarity": "babelscope.comparison.similarity",
    "read_table": "babelscope.files.tables",
    "read_token_types": "babelscope.recording.token_types",
    "read_tokens": "babelscope.text.tokens",
    "record_activations": "babelscope.recording.record",
    "record_sentences": "babelscope.recording.sentences",
    "resource_path": "babelscope.study.resources",
    "save_figure": "babelscope.figures.style",
    "similarity_figures": "babelscope.comparison.figures",
    "stack_frequencies": "babelscope.comparison.similarity",
    "tokenize_documents": "babelscope.text.tokenise",
    "tokenize_texts": "babelscope.text.tokenise",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'babelscope' has no attribute {name!r}")

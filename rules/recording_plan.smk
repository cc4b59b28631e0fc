"""What decides the counts of a recording: settings, variants and shards. Functions alone, no rules."""

import json

from babelscope.shards import shard_names

RECORDING = config["recording"]
SHARDED = RECORDING["documents_per_shard"] > 0
# Other shares of active experts, recorded as variants of the same pass.
SWEEP = {f"top_{100 * f:g}".replace(".", "_"): f for f in RECORDING["top_fractions"]}
RECORDED = "{lang}/shard_{shard}.h5" if SHARDED else "{lang}.h5"
FULL_TARGETS += collect(
    "results/{model}/variants/{variant}/activations/{lang}.h5",
    model=MODELS,
    variant=SWEEP,
    lang=LANGUAGES,
)


def recorded(variants, pattern):
    """Files of some variants, all other wildcards left open."""
    return [f"results/{{model}}/variants/{v}/activations/{pattern}" for v in variants]


def recording_settings(wildcards):
    """What decides the counts beside the documents."""
    keys = ("documents_per_block", "documents_per_segment", "max_blocks")
    keys += ("count_special_tokens", "on_nonfinite")
    return {key: RECORDING[key] for key in keys}


def shard_plan(wildcards):
    """All that decides the counts of a shard, as one line: the same however many documents come after it."""
    per_shard = RECORDING["documents_per_shard"]
    first = int(wildcards.shard) * per_shard
    size = ("profile_documents", "allow_fewer", "sources")
    plan = {
        "documents": [
            first,
            min(first + per_shard, config["corpus"]["profile_documents"]),
        ],
        "source": corpus_source(wildcards),
        "sampling": {k: v for k, v in config["corpus"].items() if k not in size},
        "seed": config["seed"],
        "recording": [RECORDING["top_fraction"], SWEEP, recording_settings(wildcards)],
        "compute": compute_settings(wildcards),
        "code": [
            code_of(rule_name)
            for rule_name in ("sample_corpus", "tokenize_corpus", "record_activations")
        ],
    }
    return json.dumps(plan, sort_keys=True)

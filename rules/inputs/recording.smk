"""Functions of wildcards for the rules of stage recording; no rules."""


def recorded(variants, pattern):
    """Files of some variants by name, all other wildcards left open."""
    return {
        v: f"results/{{model}}/variants/{v}/activations/{pattern}" for v in variants
    }


def recording_settings(wildcards):
    """Settings that decide the counts in addition to the documents."""
    keys = ("documents_per_block", "documents_per_segment", "max_blocks")
    keys += ("count_special_tokens", "on_nonfinite")
    settings = {key: RECORDING[key] for key in keys}
    # left out where there are none, as before there were any
    types = RECORDING["token_types"]
    return {**settings, "token_types": types} if types else settings


def shard_plan(wildcards):
    """All that decides the counts of a shard, as one line: the same however many documents come after it."""
    per_shard = RECORDING["documents_per_shard"]
    first = int(wildcards.shard) * per_shard
    size = ("profile_documents", "allow_fewer", "sources", "domains", "derive")
    plan = {
        "documents": [
            first,
            min(first + per_shard, config["corpus"]["profile_documents"]),
        ],
        "source": corpus_source(wildcards),
        "sampling": {k: v for k, v in config["corpus"].items() if k not in size},
        "seed": config["seed"],
        "recording": [
            RECORDING["top_fraction"],
            recording_settings(wildcards) | RECORDED_CONTEXTS,
        ],
        "compute": compute_settings(wildcards),
        "code": [
            code_of(rule_name)
            for rule_name in ("sample_corpus", "tokenize_corpus", "record_activations")
        ],
    }
    return json.dumps(plan, sort_keys=True)

"""Which experts each language's tokens activate.

Needs: model.json, tokens/{lang}.h5, experts.h5, control partitions. Makes: activations/{lang}.h5 and
variants/{variant}/activations/{lang}.h5 under results/{model}/, all out of one forward pass; in shards
activations/{lang}/shard_{shard}.h5 where recording.documents_per_shard asks for them; check.json.
"""

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


def documents_of(wildcards):
    """What decides the documents of a job beside its inputs.

    A shard holds the same documents however many come after it, so it must not look at the age of the tokens
    file; the merge compares its documents with those of that file.
    """
    if not SHARDED:
        return None
    per_shard, n_profile = (
        RECORDING["documents_per_shard"],
        config["corpus"]["profile_documents"],
    )
    first = int(wildcards.shard) * per_shard
    size = ("profile_documents", "allow_fewer", "sources")
    return {
        "first": first,
        "stop": min(first + per_shard, n_profile),
        "source": corpus_source(wildcards),
        "sampling": {k: v for k, v in config["corpus"].items() if k not in size},
        "seed": config["seed"],
        "code": [code_of("sample_corpus"), code_of("tokenize_corpus")],
    }


rule record_activations:
    input:
        model="results/{model}/model.json",
        tokens=branch(
            SHARDED,
            then=ancient("results/{model}/tokens/{lang}.h5"),
            otherwise="results/{model}/tokens/{lang}.h5",
        ),
        texts=branch(SHARDED, then=corpus_files, otherwise=[]),
        experts="results/{model}/experts.h5",
        controls=collect(
            "results/{{model}}/variants/{variant}/experts.h5", variant=CONTROLS
        ),
    output:
        main=f"results/{{model}}/activations/{RECORDED}",
        controls=recorded(CONTROLS, RECORDED),
        sweep=recorded(SWEEP, RECORDED),
    log:
        f"logs/{{model}}/record_activations/{RECORDED.removesuffix('.h5')}.log",
    benchmark:
        f"benchmarks/runs/{{model}}/record_activations/{RECORDED.removesuffix('.h5')}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: 16
    params:
        compute=compute_settings,
        recording={
            key: RECORDING[key]
            for key in (
                "documents_per_block",
                "documents_per_segment",
                "max_blocks",
                "count_special_tokens",
                "on_nonfinite",
            )
        },
        top_fraction=RECORDING["top_fraction"],
        top_fractions=list(SWEEP.values()),
        documents_per_shard=RECORDING["documents_per_shard"],
        documents=documents_of,
        code=code_of("record_activations"),
    script:
        "../workflow/scripts/record_activations.py"


if SHARDED:

    SHARDS = shard_names(
        config["corpus"]["profile_documents"], RECORDING["documents_per_shard"]
    )

    rule merge_shards:
        input:
            tokens="results/{model}/tokens/{lang}.h5",
            main=collect(
                "results/{{model}}/activations/{{lang}}/shard_{shard}.h5", shard=SHARDS
            ),
            variants=collect(
                "results/{{model}}/variants/{variant}/activations/{{lang}}/shard_{shard}.h5",
                variant=[*CONTROLS, *SWEEP],
                shard=SHARDS,
            ),
        output:
            main="results/{model}/activations/{lang}.h5",
            variants=recorded([*CONTROLS, *SWEEP], "{lang}.h5"),
        log:
            "logs/{model}/merge_shards/{lang}.log",
        benchmark:
            "benchmarks/runs/{model}/merge_shards/{lang}.tsv"
        conda:
            "../envs/babelscope.yaml"
        params:
            cut={
                key: RECORDING[key]
                for key in ("documents_per_shard", "documents_per_block", "max_blocks")
            },
            code=code_of("merge_shards"),
        script:
            "../workflow/scripts/merge_shards.py"

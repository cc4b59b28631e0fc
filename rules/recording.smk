"""Which experts each language's tokens activate.

Needs: model.json, tokens/{lang}.h5, experts.h5, control partitions. Makes: activations/{lang}.h5 and
variants/{variant}/activations/{lang}.h5, neurons/{lang}.h5, peaks/{lang}.h5 under results/{model}/, all out of one forward
pass; in shards activations/{lang}/shard_{shard}.h5 (and .json, what decides it) and the like where
recording.documents_per_shard asks for them; check.json.
"""


include: "inputs/recording.smk"


import json

from babelscope.recording.shard_names import shard_names

RECORDING = config["recording"]
SHARDED = RECORDING["documents_per_shard"] > 0
RECORDED_CONTEXTS = {
    f"{name}_tokens": config["contexts"][key]
    for name, key in {"best": "top", "random": "random"}.items()
}
RECORDED = "{lang}/shard_{shard}.h5" if SHARDED else "{lang}.h5"
# Neurons inside routed experts are not recorded.
OF_UNITS = {
    (
        f"{name}_shard" if SHARDED else f"{name}s"
    ): f"results/{{model}}/{name}s/{RECORDED}"
    for name in (["peak"] if ROUTED else ["neuron", "peak"])
}


if SHARDED:

    # A shard must not run again because the tokens file got more documents, so it takes that file as ancient.
    # Snakemake then overlooks other reasons to run it whenever that file is remade too; the plan brings them.
    rule plan_shard:
        input:
            model="results/{model}/model.json",
            texts=corpus_files,
            experts="results/{model}/experts.h5",
            controls=collect(
                "results/{{model}}/variants/{variant}/experts.h5",
                variant=[*CONTROLS, *PARTITIONS],
            ),
        output:
            "results/{model}/activations/{lang}/shard_{shard}.json",
        log:
            "logs/{model}/plan_shard/{lang}/{shard}.log",
        localrule: True
        params:
            plan=shard_plan,
        shell:
            "printf '%s\\n' {params.plan:q} > {output} 2> {log}"


rule record_activations:
    input:
        model="results/{model}/model.json",
        tokens=branch(
            SHARDED,
            then=ancient("results/{model}/tokens/{lang}.h5"),
            otherwise="results/{model}/tokens/{lang}.h5",
        ),
        plan=branch(
            SHARDED,
            then="results/{model}/activations/{lang}/shard_{shard}.json",
            otherwise=[],
        ),
        experts="results/{model}/experts.h5",
        partitions=collect(
            "results/{{model}}/variants/{variant}/experts.h5",
            variant=[*CONTROLS, *PARTITIONS],
        ),
    output:
        **recorded([*CONTROLS, *PARTITIONS], RECORDED),
        **(
            {"types": "results/{model}/types/{lang}.h5"}
            if RECORDING["token_types"]
            else {}
        ),
        **OF_UNITS,
        main=f"results/{{model}}/activations/{RECORDED}",
    log:
        f"logs/{{model}}/record_activations/{RECORDED.removesuffix('.h5')}.log",
    benchmark:
        f"benchmarks/runs/{{model}}/record_activations/{RECORDED.removesuffix('.h5')}.tsv"
    # languages first, stage by stage: short jobs fill the cores that the last long ones leave
    priority: 3
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(60),
    params:
        compute=compute_settings,
        recording=lambda wildcards: recording_settings(wildcards) | RECORDED_CONTEXTS,
        top_fraction=RECORDING["top_fraction"],
        partitions=[*CONTROLS, *PARTITIONS],
        documents_per_shard=RECORDING["documents_per_shard"],
        code=code_of("record_activations"),
    script:
        "../workflow/scripts/record_activations.py"


if SHARDED:

    SHARDS = shard_names(
        config["corpus"]["profile_documents"], RECORDING["documents_per_shard"]
    )

    rule merge_shards:
        input:
            **{
                variant: [path.replace("{shard}", shard) for shard in SHARDS]
                for variant, path in recorded(
                    [*CONTROLS, *PARTITIONS], RECORDED
                ).items()
            },
            tokens="results/{model}/tokens/{lang}.h5",
            main=collect(
                "results/{{model}}/activations/{{lang}}/shard_{shard}.h5", shard=SHARDS
            ),
            neurons=branch(
                ROUTED,
                then=[],
                otherwise=collect(
                    "results/{{model}}/neurons/{{lang}}/shard_{shard}.h5", shard=SHARDS
                ),
            ),
            peaks=collect(
                "results/{{model}}/peaks/{{lang}}/shard_{shard}.h5", shard=SHARDS
            ),
        output:
            **recorded([*CONTROLS, *PARTITIONS], "{lang}.h5"),
            **({} if ROUTED else {"neurons": "results/{model}/neurons/{lang}.h5"}),
            peaks="results/{model}/peaks/{lang}.h5",
            main="results/{model}/activations/{lang}.h5",
        log:
            "logs/{model}/merge_shards/{lang}.log",
        benchmark:
            "benchmarks/runs/{model}/merge_shards/{lang}.tsv"
        localrule: True
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


rule check_model:
    input:
        model="results/{model}/model.json",
        tokens=f"results/{{model}}/tokens/{LANGUAGES[0]}.h5",
        experts="results/{model}/experts.h5",
    output:
        "results/{model}/check.json",
    log:
        "logs/{model}/check_model.log",
    benchmark:
        "benchmarks/runs/{model}/check_model.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: ALL_THREADS
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(60),
    params:
        compute=compute_settings,
        top_fraction=RECORDING["top_fraction"],
        lang=LANGUAGES[0],
        n_tokens=256,
        code=code_of("check_model"),
    script:
        "../workflow/scripts/check_model.py"

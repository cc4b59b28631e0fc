"""Which experts each language's tokens activate.

Needs: model.json, tokens/{lang}.h5, experts.h5, control partitions. Makes: activations/{lang}.h5 and
variants/{variant}/activations/{lang}.h5 under results/{model}/, all out of one forward pass.
"""


rule record_activations:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        controls=collect(
            "results/{{model}}/variants/{variant}/experts.h5", variant=CONTROLS
        ),
    output:
        main="results/{model}/activations/{lang}.h5",
        controls=collect(
            "results/{{model}}/variants/{variant}/activations/{{lang}}.h5",
            variant=CONTROLS,
        ),
    log:
        "logs/{model}/record_activations/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/record_activations/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: 16
    params:
        compute=compute_settings,
        recording={
            key: config["recording"][key]
            for key in (
                "documents_per_block",
                "documents_per_segment",
                "count_special_tokens",
                "on_nonfinite",
            )
        },
        top_fraction=config["recording"]["top_fraction"],
        code=code_of("record_activations"),
    script:
        "../workflow/scripts/record_activations.py"

"""Models in a local folder.

Needs: an entry of model_definitions. Makes: results/{model}/model.json, and for packaged models
results/{model}/weights/.
"""


include: "inputs/model.smk"


from babelscope.model.weights_digest import NOTES, weights_digest


rule prepare_model:
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/prepare_model.log",
    benchmark:
        "benchmarks/runs/{model}/prepare_model.tsv"
    # everything waits for it
    priority: 5
    conda:
        "../envs/babelscope.yaml"
    params:
        definition=lambda wildcards: {
            key: definition(wildcards)[key]
            for key in (
                "source",
                "n_layers",
                "document_prefix",
                "allow_pickle",
                "trust_remote_code",
            )
        },
        weights="results/{model}/weights",
        weights_sha256=local_weights,
        code=code_of("prepare_model"),
    script:
        "../workflow/scripts/prepare_model.py"

"""What one neuron more costs in each layer, once per model: the sizes of layers of all its pruned models.

Needs: model.json, tokens/{lang}.h5 of the reference languages. Makes: layer_costs.h5, under results/{model}/, where
pruning.method asks for it.
"""

# The first two where none is named: in any order, and whatever languages come after them, the same.
REFERENCE_LANGUAGES = sorted(config["pruning"]["reference_languages"] or LANGUAGES[:2])
REFERENCE = {
    "languages": REFERENCE_LANGUAGES,
    "n_documents": config["pruning"]["reference_documents"],
    "method": config["pruning"]["method"],
}
BY_LOSS = (
    config["pruning"]["method"] in read_yaml(SCHEMA)["$defs"]["method_by_loss"]["enum"]
)


rule measure_layer_costs:
    input:
        model="results/{model}/model.json",
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=REFERENCE_LANGUAGES),
    output:
        "results/{model}/layer_costs.h5",
    log:
        "logs/{model}/measure_layer_costs.log",
    benchmark:
        "benchmarks/runs/{model}/measure_layer_costs.tsv"
    # with the recordings: all compensations wait for it
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
        reference=REFERENCE,
        code=code_of("measure_layer_costs"),
    script:
        "../workflow/scripts/measure_layer_costs.py"

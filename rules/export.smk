"""Pruned models as checkpoints: `snakemake export_en`, or a target folder.

Needs: model.json, pruned/{target}.h5. Makes: export/{target}/sliced/ (as small as it is) and
export/{target}/padded/ (a plain Hugging Face model) under results/{model}/.
"""


rule export_pruned:
    input:
        model="results/{model}/model.json",
        plan="results/{model}/pruned/{target}.h5",
    output:
        sliced=directory("results/{model}/export/{target}/sliced"),
        padded=directory("results/{model}/export/{target}/padded"),
    log:
        "logs/{model}/export_pruned/{target}.log",
    benchmark:
        "benchmarks/runs/{model}/export_pruned/{target}.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        dtype=lambda wildcards: definition(wildcards)["dtype"],
        languages=lambda wildcards: TARGETS[wildcards.target],
        code=code_of("export_pruned"),
    script:
        "../workflow/scripts/export_pruned.py"


for target in TARGETS:

    rule:
        name:
            f"export_{target}"
        input:
            collect(
                "results/{model}/export/{target}/padded", model=MODELS, target=target
            ),
        localrule: True

"""Targeted ablation: what a language loses without the experts and neurons that are specific to it.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5, neurons/{lang}.h5, evidence/experts.json.
Makes, for `full`: ablation/units.json (which units, and matched controls), ablation/{lang}.json, ablation.csv.
"""

ABLATION_FULL = collect("results/{model}/ablation.csv", model=MODELS)


rule choose_ablations:
    input:
        model="results/{model}/model.json",
        experts="results/{model}/experts.h5",
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        neurons=collect("results/{{model}}/neurons/{lang}.h5", lang=LANGUAGES),
        index="results/{model}/evidence/experts.json",
    output:
        "results/{model}/ablation/units.json",
    log:
        "logs/{model}/choose_ablations.log",
    benchmark:
        "benchmarks/runs/{model}/choose_ablations.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        threshold=config["sharing"]["threshold"],
        n_controls=config["pruning"]["ablation_controls"],
        code=code_of("choose_ablations"),
    script:
        "../workflow/scripts/choose_ablations.py"


rule evaluate_ablations:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        units="results/{model}/ablation/units.json",
    output:
        "results/{model}/ablation/{lang}.json",
    log:
        "logs/{model}/evaluate_ablations/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_ablations/{lang}.tsv"
    wildcard_constraints:
        lang="(?!units$)[A-Za-z0-9][A-Za-z0-9_-]*",
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(120),
    params:
        compute=compute_settings,
        n_heldout=config["pruning"]["frontier_documents"],
        code=code_of("evaluate_ablations"),
    script:
        "../workflow/scripts/evaluate_ablations.py"


rule tabulate_ablations:
    input:
        collect("results/{{model}}/ablation/{lang}.json", lang=LANGUAGES),
    output:
        report(
            "results/{model}/ablation.csv",
            caption="../workflow/report/ablation.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "targeted ablation"},
        ),
    log:
        "logs/{model}/tabulate_ablations.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_ablations.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        seed=config["seed"],
        code=code_of("tabulate_ablations"),
    script:
        "../workflow/scripts/tabulate_ablations.py"

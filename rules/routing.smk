"""Which routed experts of a mixture of experts serve which language (experts.method: router).

Needs: model.json, tokens/{lang}.h5, activations/{lang}.h5. Makes: routing.csv, figures/routing; for `full` saliency/{lang}.h5,
routed_pruning/{lang}.json, routed_pruning.csv and figures/routed_pruning; export/{target}/routed (a checkpoint), under results/{model}/.
"""

ROUTING_TARGETS = [
    *collect("results/{model}/figures/routing.png", model=MODELS),
    *(["results/models/routing.csv"] if MODEL_PAIRS else []),
]
ROUTING_FULL = collect("results/{model}/routed_pruning.csv", model=MODELS)


rule tabulate_routing:
    input:
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        report(
            "results/{model}/routing.csv",
            caption="../workflow/report/routing.rst",
            category="Routing",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/tabulate_routing.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_routing.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        settings={
            "threshold": config["sharing"]["threshold"],
            "n_replicates": EVIDENCE["replicates"],
            "seed": config["seed"],
        },
        code=code_of("tabulate_routing"),
    script:
        "../workflow/scripts/tabulate_routing.py"


rule plot_routing:
    input:
        "results/{model}/routing.csv",
    output:
        svg="results/{model}/figures/routing.svg",
        png=report(
            "results/{model}/figures/routing.png",
            caption="../workflow/report/routing.rst",
            category="Routing",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_routing.log",
    benchmark:
        "benchmarks/runs/{model}/plot_routing.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        look=look(),
        code=code_of("plot_routing"),
    script:
        "../workflow/scripts/plot_routing.py"


rule compare_routing:
    input:
        collect("results/{model}/routing.csv", model=MODELS),
    output:
        table=report("results/models/routing.csv", category="Models"),
        svg="results/models/figures/routing.svg",
        png=report("results/models/figures/routing.png", category="Models"),
    log:
        "logs/compare_routing.log",
    benchmark:
        "benchmarks/runs/compare_routing.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        models=MODELS,
        look=look(),
        code=code_of("compare_routing"),
    script:
        "../workflow/scripts/compare_routing.py"


rule score_routed_experts:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
    output:
        "results/{model}/saliency/{lang}.h5",
    log:
        "logs/{model}/score_routed_experts/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/score_routed_experts/{lang}.tsv"
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
        documents=config["pruning"]["compensation_documents"],
        code=code_of("score_routed_experts"),
    script:
        "../workflow/scripts/score_routed_experts.py"


rule evaluate_routed:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        saliency=collect("results/{{model}}/saliency/{lang}.h5", lang=LANGUAGES),
    output:
        "results/{model}/routed_pruning/{lang}.json",
    log:
        "logs/{model}/evaluate_routed/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_routed/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(120),
    params:
        languages=LANGUAGES,
        targets=TARGETS,
        compute=compute_settings,
        settings={
            "selector": config["pruning"]["routed_selector"],
            "share": config["pruning"]["share"],
            "n_random": config["pruning"]["random_seeds"],
            "seed": config["seed"],
        },
        code=code_of("evaluate_routed"),
    script:
        "../workflow/scripts/evaluate_routed.py"


rule tabulate_routed:
    input:
        collect("results/{{model}}/routed_pruning/{lang}.json", lang=LANGUAGES),
    output:
        table=report(
            "results/{model}/routed_pruning.csv",
            caption="../workflow/report/routed_pruning.rst",
            category="Routing",
            labels={"model": "{model}", "kind": "experts kept and removed"},
        ),
        svg="results/{model}/figures/routed_pruning.svg",
        png=report(
            "results/{model}/figures/routed_pruning.png",
            caption="../workflow/report/routed_pruning.rst",
            category="Routing",
            labels={"model": "{model}", "kind": "experts kept and removed"},
        ),
    log:
        "logs/{model}/tabulate_routed.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_routed.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        names={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        look=look(),
        code=code_of("tabulate_routed"),
    script:
        "../workflow/scripts/tabulate_routed.py"


rule export_routed:
    input:
        model="results/{model}/model.json",
        activations=of_members("results/{model}/activations/{lang}.h5"),
        saliency=of_members("results/{model}/saliency/{lang}.h5"),
    output:
        directory("results/{model}/export/{target}/routed"),
    log:
        "logs/{model}/export_routed/{target}.log",
    benchmark:
        "benchmarks/runs/{model}/export_routed/{target}.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2 * model_memory(wildcards, attempt),
        runtime=growing(60),
    params:
        dtype=lambda wildcards: definition(wildcards)["dtype"],
        languages=lambda wildcards: TARGETS[wildcards.target],
        settings={
            "selector": config["pruning"]["routed_selector"],
            "share": config["pruning"]["share"],
            "seed": config["seed"],
        },
        code=code_of("export_routed"),
    script:
        "../workflow/scripts/export_routed.py"


for target in TARGETS:

    rule:
        name:
            f"export_{target}"
        input:
            collect(
                "results/{model}/export/{target}/{form}",
                model=MODELS,
                target=target,
                form="routed" if ROUTED else "padded",
            ),
        localrule: True

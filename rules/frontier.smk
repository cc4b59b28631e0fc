"""Loss against size for every way to choose experts.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5. Makes, for `full`: pruning_frontier/{lang}.json,
pruning_frontier.csv and figures/pruning_frontier, under results/{model}/.
"""


rule trace_frontier:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        activations="results/{model}/activations/{lang}.h5",
    output:
        "results/{model}/pruning_frontier/{lang}.json",
    log:
        "logs/{model}/trace_frontier/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/trace_frontier/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(240),
    params:
        compute=compute_settings,
        frontier={
            "shares": config["pruning"]["frontier_shares"],
            "n_heldout": config["pruning"]["frontier_documents"],
            "n_profile": config["pruning"]["compensation_documents"],
            "n_draws": config["pruning"]["random_seeds"],
            "seed": config["seed"],
        },
        code=code_of("trace_frontier"),
    script:
        "../workflow/scripts/trace_frontier.py"


rule tabulate_frontier:
    input:
        collect("results/{{model}}/pruning_frontier/{lang}.json", lang=LANGUAGES),
    output:
        table=report(
            "results/{model}/pruning_frontier.csv",
            caption="../workflow/report/pruning_frontier.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "frontier"},
        ),
        svg="results/{model}/figures/pruning_frontier.svg",
        png=report(
            "results/{model}/figures/pruning_frontier.png",
            caption="../workflow/report/pruning_frontier.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "frontier"},
        ),
    log:
        "logs/{model}/tabulate_frontier.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_frontier.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        names={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        look=look(),
        code=code_of("tabulate_frontier"),
    script:
        "../workflow/scripts/tabulate_frontier.py"

"""The causal test of selectors: what languages lose when a language's chosen neurons alone are kept, or removed.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5, neurons/{lang}.h5. Makes, for `full`:
selectors/{lang}.json, selectors.csv and figures/selectors, under results/{model}/.
"""

SELECTORS_FULL = collect("results/{model}/selectors.csv", model=MODELS)


rule evaluate_selectors:
    input:
        model="results/{model}/model.json",
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        neurons=collect("results/{{model}}/neurons/{lang}.h5", lang=LANGUAGES),
        experts="results/{model}/experts.h5",
        activations="results/{model}/activations/{lang}.h5",
    output:
        "results/{model}/selectors/{lang}.json",
    log:
        "logs/{model}/evaluate_selectors/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_selectors/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(240),
    params:
        languages=LANGUAGES,
        compute=compute_settings,
        settings={
            "selectors": config["selectors"]["names"],
            "shares": config["selectors"]["shares"],
            "removed_shares": config["selectors"]["removed_shares"],
            "n_profile": config["selectors"]["profile_documents"],
            "n_heldout": config["selectors"]["heldout_documents"],
            "n_others": config["selectors"]["other_documents"],
            "n_draws": config["selectors"]["draws"],
            "seed": config["seed"],
        },
        code=code_of("evaluate_selectors"),
    script:
        "../workflow/scripts/evaluate_selectors.py"


rule tabulate_selectors:
    input:
        collect("results/{{model}}/selectors/{lang}.json", lang=LANGUAGES),
    output:
        table=report(
            "results/{model}/selectors.csv",
            caption="../workflow/report/selectors.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "selectors"},
        ),
        svg="results/{model}/figures/selectors.svg",
        png=report(
            "results/{model}/figures/selectors.png",
            caption="../workflow/report/selectors.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "selectors"},
        ),
    log:
        "logs/{model}/tabulate_selectors.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_selectors.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        seed=config["seed"],
        look=look(),
        code=code_of("tabulate_selectors"),
    script:
        "../workflow/scripts/tabulate_selectors.py"

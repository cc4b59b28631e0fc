"""The model with high-frequency experts only, against the dense model.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5. Makes: pruning/{lang}.json and
pruning.csv under results/{model}/.
"""


rule evaluate_pruning:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        activations="results/{model}/activations/{lang}.h5",
    output:
        "results/{model}/pruning/{lang}.json",
    log:
        "logs/{model}/evaluate_pruning/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_pruning/{lang}.tsv"
    threads: 16
    params:
        compute=compute_settings,
        threshold=config["sharing"]["threshold"],
        random_seeds=config["pruning"]["random_seeds"],
        seed=config["seed"],
        code=code_of("evaluate_pruning"),
    script:
        "../workflow/scripts/evaluate_pruning.py"


rule tabulate_pruning:
    input:
        collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES),
    output:
        report(
            "results/{model}/pruning.csv",
            category="Pruning",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/tabulate_pruning.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_pruning.tsv"
    params:
        code=code_of("tabulate_pruning"),
    script:
        "../workflow/scripts/tabulate_pruning.py"

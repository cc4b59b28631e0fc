"""The model with high-frequency experts only, against the dense model.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5. Makes: pruned/{target}.h5 (which neurons
stay, corrected columns), pruning/{lang}.json, pruning.csv and pruning_speed.csv under results/{model}/.
"""


rule compensate:
    input:
        model="results/{model}/model.json",
        tokens=of_members("results/{model}/tokens/{lang}.h5"),
        experts="results/{model}/experts.h5",
        activations=of_members("results/{model}/activations/{lang}.h5"),
    output:
        "results/{model}/pruned/{target}.h5",
    log:
        "logs/{model}/compensate/{target}.log",
    benchmark:
        "benchmarks/runs/{model}/compensate/{target}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: 16
    params:
        languages=lambda wildcards: TARGETS[wildcards.target],
        compute=compute_settings,
        choice=CHOICE,
        documents=config["pruning"]["compensation_documents"],
        code=code_of("compensate"),
    script:
        "../workflow/scripts/compensate.py"


rule evaluate_pruning:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        plan="results/{model}/pruned/{lang}.h5",
    output:
        "results/{model}/pruning/{lang}.json",
    log:
        "logs/{model}/evaluate_pruning/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_pruning/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: 16
    params:
        compute=compute_settings,
        choice=CHOICE,
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
    conda:
        "../envs/babelscope.yaml"
    params:
        code=code_of("tabulate_pruning"),
    script:
        "../workflow/scripts/tabulate_pruning.py"


rule measure_pruning_speed:
    input:
        model="results/{model}/model.json",
        tokens=f"results/{{model}}/tokens/{LANGUAGES[0]}.h5",
        plans=collect("results/{{model}}/pruned/{lang}.h5", lang=LANGUAGES),
    output:
        report(
            "results/{model}/pruning_speed.csv",
            caption="../workflow/report/pruning_speed.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "speed"},
        ),
    log:
        "logs/{model}/measure_pruning_speed.log",
    benchmark:
        "benchmarks/runs/{model}/measure_pruning_speed.tsv"
    conda:
        "../envs/babelscope.yaml"
    # nothing may run beside a timing
    threads: 16
    params:
        languages=LANGUAGES,
        compute=compute_settings,
        code=code_of("measure_pruning_speed"),
    script:
        "../workflow/scripts/measure_pruning_speed.py"

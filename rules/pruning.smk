"""The model with high-frequency experts only, against the dense model.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5, neurons/{lang}.h5,
for some methods layer_costs.h5. Makes: pruned/{target}.safetensors
(which neurons stay, corrected columns), pruning/{lang}.json, pruning.csv, pruning_controls.csv, pruning_speed.csv and .json; for `full` also
pruning_matrix.csv (each language under every language's experts), under results/{model}/.
"""


include: "inputs/pruning.smk"


# What a pruned model serves: one language, or several together.
TARGETS = {**{lang: [lang] for lang in LANGUAGES}, **config["pruning"]["unions"]}
CHOICE = {
    "method": config["pruning"]["method"],
    "threshold": config["sharing"]["threshold"],
    "share": config["pruning"]["share"],
}
FIT = {
    "documents": config["pruning"]["compensation_documents"],
    "pooled": config["pruning"]["pooled_documents"],
    "reference": REFERENCE if BY_LOSS else None,
}
# How finished models are distilled; None: not at all.
DISTIL = {
    "epochs": config["pruning"]["distil_epochs"],
    "learning_rate": config["pruning"]["distil_rate"],
    "seed": config["seed"],
}
if not DISTIL["epochs"]:
    DISTIL = None
# Folders of a finished model's files, the last one as it is exported.
PLANS = ["pruned", "distilled"] if DISTIL else ["pruned"]
# Plain removal is repeated with their experts: how much of a loss is the cut of the neurons into experts.
LOSS_PARTITIONS = PARTITIONS if config["pruning"]["partition_documents"] else []


rule compensate:
    input:
        model="results/{model}/model.json",
        tokens=of_members("results/{model}/tokens/{lang}.h5"),
        others=of_others("results/{model}/tokens/{lang}.h5"),
        experts="results/{model}/experts.h5",
        activations=of_members("results/{model}/activations/{lang}.h5"),
        costs=["results/{model}/layer_costs.h5"] if BY_LOSS else [],
    output:
        "results/{model}/pruned/{target}.safetensors",
    log:
        "logs/{model}/compensate/{target}.log",
    benchmark:
        "benchmarks/runs/{model}/compensate/{target}.tsv"
    # after all recordings, see record_activations
    priority: 2
    group:
        "pruning"
    conda:
        "../envs/babelscope.yaml"
    threads: model_threads
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(120),
    params:
        languages=lambda wildcards: TARGETS[wildcards.target],
        other_languages=lambda wildcards: others_of(wildcards.target),
        compute=compute_settings,
        choice=CHOICE,
        fit=FIT,
        code=code_of("compensate"),
    script:
        "../workflow/scripts/compensate.py"


rule evaluate_pruning:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        plans=collect("results/{{model}}/{kind}/{{lang}}.safetensors", kind=PLANS),
        activations="results/{model}/activations/{lang}.h5",
        neurons="results/{model}/neurons/{lang}.h5",
        partitions=collect(
            "results/{{model}}/variants/{variant}/experts.h5",
            variant=LOSS_PARTITIONS,
        ),
        partition_activations=collect(
            "results/{{model}}/variants/{variant}/activations/{{lang}}.h5",
            variant=LOSS_PARTITIONS,
        ),
    output:
        "results/{model}/pruning/{lang}.json",
    log:
        "logs/{model}/evaluate_pruning/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_pruning/{lang}.tsv"
    # after all compensations, see record_activations
    priority: 1
    group:
        "pruning"
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
        choice=CHOICE,
        distil=DISTIL,
        controls={
            "n_random": config["pruning"]["random_seeds"],
            "n_compensated": config["pruning"]["compensated_draws"],
            "n_documents": config["pruning"]["compensation_documents"],
            "seed": config["seed"],
            "n_heldout": config["pruning"]["control_documents"],
            "paper_compensated": config["pruning"]["paper_compensated"],
            "n_partition": config["pruning"]["partition_documents"],
        },
        partitions=LOSS_PARTITIONS,
        code=code_of("evaluate_pruning"),
    script:
        "../workflow/scripts/evaluate_pruning.py"


rule tabulate_pruning:
    input:
        collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES),
    output:
        table=report(
            "results/{model}/pruning.csv",
            category="Pruning",
            labels={"model": "{model}", "kind": "table"},
        ),
        controls=report(
            "results/{model}/pruning_controls.csv",
            caption="../workflow/report/pruning_controls.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "controls"},
        ),
    log:
        "logs/{model}/tabulate_pruning.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_pruning.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        choice=CHOICE,
        code=code_of("tabulate_pruning"),
    script:
        "../workflow/scripts/tabulate_pruning.py"


rule measure_pruning_speed:
    input:
        model="results/{model}/model.json",
        tokens=f"results/{{model}}/tokens/{LANGUAGES[0]}.h5",
        plans=collect("results/{{model}}/pruned/{lang}.safetensors", lang=LANGUAGES),
    output:
        record="results/{model}/pruning_speed.json",
        table=report(
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
    # nothing may run during a timing
    threads: ALL_THREADS
    resources:
        **GPU_NODES,
        gpu=lambda wildcards: model_gpus(wildcards, whole=True),
        mem_mb=model_memory,
        runtime=growing(60),
    params:
        languages=LANGUAGES,
        models=config["pruning"]["speed_models"],
        choice=CHOICE,
        compute=compute_settings,
        code=code_of("measure_pruning_speed"),
    script:
        "../workflow/scripts/measure_pruning_speed.py"


rule plot_pruning:
    input:
        collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES),
    output:
        svg="results/{model}/figures/pruning.svg",
        png=report(
            "results/{model}/figures/pruning.png",
            caption="../workflow/report/pruning.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_pruning.log",
    benchmark:
        "benchmarks/runs/{model}/plot_pruning.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        choice=CHOICE,
        names=[LANGUAGE_NAMES[code] for code in LANGUAGES],
        look=look(),
        code=code_of("plot_pruning"),
    script:
        "../workflow/scripts/plot_pruning.py"


rule evaluate_matrix:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        plans=collect("results/{{model}}/pruned/{target}.safetensors", target=TARGETS),
    output:
        "results/{model}/pruning_matrix/{lang}.json",
    log:
        "logs/{model}/evaluate_matrix/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/evaluate_matrix/{lang}.tsv"
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
        choices={
            "threshold": CHOICE,
            "same_size": {**CHOICE, "method": "most_frequent"},
        },
        # a quarter of what a language's own model is fitted to: there is one fit for every language
        n_profile=-(-config["pruning"]["compensation_documents"] // 4),
        n_heldout=config["pruning"]["matrix_documents"],
        code=code_of("evaluate_matrix"),
    script:
        "../workflow/scripts/evaluate_matrix.py"


rule tabulate_matrix:
    input:
        collect("results/{{model}}/pruning_matrix/{lang}.json", lang=LANGUAGES),
    output:
        table=report(
            "results/{model}/pruning_matrix.csv",
            caption="../workflow/report/pruning_matrix.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "cross-language matrix"},
        ),
        svg="results/{model}/figures/pruning_matrix.svg",
        png=report(
            "results/{model}/figures/pruning_matrix.png",
            caption="../workflow/report/pruning_matrix.rst",
            category="Pruning",
            labels={"model": "{model}", "kind": "cross-language matrix"},
        ),
    log:
        "logs/{model}/tabulate_matrix.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_matrix.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        selections=["threshold", "same_size", "compensated", "same_size_corrected"],
        seed=config["seed"],
        names={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        look=look(),
        code=code_of("tabulate_matrix"),
    script:
        "../workflow/scripts/tabulate_matrix.py"


rule export_pruned:
    input:
        model="results/{model}/model.json",
        plan=f"results/{{model}}/{PLANS[-1]}/{{target}}.safetensors",
    output:
        sliced=directory("results/{model}/export/{target}/sliced"),
        padded=directory("results/{model}/export/{target}/padded"),
    log:
        "logs/{model}/export_pruned/{target}.log",
    benchmark:
        "benchmarks/runs/{model}/export_pruned/{target}.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2 * model_memory(wildcards, attempt),
        runtime=growing(60),
    params:
        dtype=lambda wildcards: definition(wildcards)["dtype"],
        languages=lambda wildcards: TARGETS[wildcards.target],
        choice=CHOICE,
        distil=DISTIL,
        code=code_of("export_pruned"),
    script:
        "../workflow/scripts/export_pruned.py"

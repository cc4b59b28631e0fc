"""Perplexity of running text after pruning, as published tables have it.

Needs: perplexity.calibration and perplexity.text, model.json. Makes, for `perplexity`: results/texts/{part}.json and
results/{model}/perplexity.csv.
"""


rule perplexity:
    input:
        collect("results/{model}/perplexity.csv", model=MODELS),
    localrule: True


rule read_running_text:
    output:
        "results/texts/{part}.json",
    log:
        "logs/texts/{part}.log",
    benchmark:
        "benchmarks/runs/texts/{part}.tsv"
    wildcard_constraints:
        part="calibration|text",
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        source=lambda wildcards: config["perplexity"].get(wildcards.part),
        code=code_of("read_running_text"),
    script:
        "../workflow/scripts/read_running_text.py"


rule measure_perplexity:
    input:
        model="results/{model}/model.json",
        calibration="results/texts/calibration.json",
        text="results/texts/text.json",
    output:
        "results/{model}/perplexity.csv",
    log:
        "logs/{model}/measure_perplexity.log",
    benchmark:
        "benchmarks/runs/{model}/measure_perplexity.tsv"
    conda:
        "../envs/babelscope.yaml"
    threads: ALL_THREADS
    resources:
        **GPU_NODES,
        gpu=model_gpus,
        mem_mb=model_memory,
        runtime=growing(240),
    params:
        compute=compute_settings,
        settings={
            key: config["perplexity"][key]
            for key in (
                "window",
                "calibration_windows",
                "text_windows",
                "prefix_every_window",
                "removed",
                "methods",
            )
        },
        seed=config["seed"],
        code=code_of("measure_perplexity"),
    script:
        "../workflow/scripts/measure_perplexity.py"

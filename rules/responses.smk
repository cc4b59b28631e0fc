"""Continuations by the dense and the pruned models (plain removal, finished), and people who compare them.

Needs: model.json, tokens/{lang}.h5, experts.h5, activations/{lang}.h5, pruned/{lang}.safetensors; the files that annotators export. Makes:
responses/{lang}.jsonl, responses.csv, annotation/{lang}.html, annotations.csv under results/{model}/.
"""


include: "inputs/responses.smk"


if workflow.is_main_process:
    with errors_in_one_line():
        for model in MODELS:
            annotation_files(SimpleNamespace(model=model))


rule generate_responses:
    input:
        model="results/{model}/model.json",
        tokens="results/{model}/tokens/{lang}.h5",
        experts="results/{model}/experts.h5",
        activations="results/{model}/activations/{lang}.h5",
        plan="results/{model}/pruned/{lang}.safetensors",
    output:
        "results/{model}/responses/{lang}.jsonl",
    log:
        "logs/{model}/generate_responses/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/generate_responses/{lang}.tsv"
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
        responses={
            key: config["responses"][key]
            for key in ("prompts", "prompt_tokens", "new_tokens")
        },
        choice=CHOICE,
        seed=config["seed"],
        code=code_of("generate_responses"),
    script:
        "../workflow/scripts/generate_responses.py"


rule summarise_responses:
    input:
        collect("results/{{model}}/responses/{lang}.jsonl", lang=LANGUAGES),
    output:
        report(
            "results/{model}/responses.csv",
            caption="../workflow/report/responses.rst",
            category="Responses",
            labels={"model": "{model}"},
        ),
    log:
        "logs/{model}/summarise_responses.log",
    benchmark:
        "benchmarks/runs/{model}/summarise_responses.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        code=code_of("summarise_responses"),
    script:
        "../workflow/scripts/summarise_responses.py"


rule write_annotation_page:
    input:
        responses="results/{model}/responses/{lang}.jsonl",
        template=os.path.relpath(ROOT / "resources" / "templates" / "annotation.html"),
    output:
        "results/{model}/annotation/{lang}.html",
    log:
        "logs/{model}/write_annotation_page/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/write_annotation_page/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        seed=config["seed"],
        judged=config["responses"]["judged"],
        code=code_of("write_annotation_page"),
    script:
        "../workflow/scripts/write_annotation_page.py"


rule summarise_annotations:
    input:
        annotations=annotation_files,
        responses=judged_responses,
    output:
        "results/{model}/annotations.csv",
    log:
        "logs/{model}/summarise_annotations.log",
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        judged=config["responses"]["judged"],
        seed=config["seed"],
        code=code_of("summarise_annotations"),
    script:
        "../workflow/scripts/summarise_annotations.py"

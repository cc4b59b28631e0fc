"""What the findings are worth: noise, families, layers, experts, controls, and the paper's claims.

Needs: activations/{lang}.h5 of all languages, variants/{variant}/activations/{lang}.h5, tokens/{lang}.h5,
pruning/{lang}.json, pruning_speed.csv; for `full` pruning_frontier.csv. Makes: evidence/, figures/evidence_*,
claims.csv and claims.html under results/{model}/, and results/models/ where there are two models or more.
"""


include: "inputs/evidence.smk"


import yaml

EVIDENCE = config["evidence"]
CLAIMS = os.path.relpath(ROOT / "resources" / "claims.yaml")
PAPER = os.path.relpath(ROOT / "resources" / "paper.json")
EVIDENCE_FIGURES = [
    *collect("evidence_dendrogram_{measure}", measure=MEASURES),
    *collect("evidence_distances_{measure}", measure=MEASURES),
    "evidence_learning_curve",
    "evidence_families",
    "evidence_layers",
    "evidence_experts",
    "evidence_robustness",
]
# The figures that claims.yaml names, each once.
PAGE_FIGURES = list(
    dict.fromkeys(
        statistic["figure"]
        for claim in yaml.safe_load(Path(CLAIMS).read_text(encoding="utf-8"))["claims"]
        for statistic in claim["statistics"]
    )
)
JUDGES = {"n_replicates": EVIDENCE["replicates"], "seed": config["seed"]}
MODEL_PAIRS = [f"{a}_{b}" for i, a in enumerate(MODELS) for b in MODELS[i + 1 :]]
EVIDENCE_TARGETS = [
    *collect("results/{model}/claims.{kind}", model=MODELS, kind=["csv", "html"]),
    *collect(
        "results/{model}/figures/{figure}.png", model=MODELS, figure=EVIDENCE_FIGURES
    ),
    *(["results/models/agreement.csv"] if MODEL_PAIRS else []),
]
# What the recordings alone decide: `snakemake evidence`.
RECORDING_TARGETS = [
    "results/run_config.yaml",
    *collect("results/{model}/evidence/experts.csv", model=MODELS),
    *collect(
        "results/{model}/figures/{figure}.png", model=MODELS, figure=EVIDENCE_FIGURES
    ),
]


EVIDENCE_FULL = collect("results/{model}/evidence/frontier_claims.csv", model=MODELS)


rule bootstrap_languages:
    input:
        paper=PAPER,
        languages=LANGUAGE_TABLE,
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
    output:
        replicates="results/{model}/evidence/replicates.h5",
        pairs="results/{model}/evidence/similarity_intervals.csv",
        sharing="results/{model}/evidence/sharing_intervals.csv",
        layers="results/{model}/evidence/layers.csv",
        noise=report(
            "results/{model}/evidence/noise_floor.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "noise floor and tokens needed"},
        ),
        curve="results/{model}/evidence/learning_curve.csv",
        trees="results/{model}/evidence/dendrograms.json",
        frequency="results/{model}/evidence/frequency_intervals.h5",
    log:
        "logs/{model}/bootstrap_languages.log",
    benchmark:
        "benchmarks/runs/{model}/bootstrap_languages.tsv"
    group:
        "evidence"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        languages=LANGUAGES,
        settings={
            "threshold": config["sharing"]["threshold"],
            "other_thresholds": EVIDENCE["other_thresholds"],
            "n_replicates": EVIDENCE["replicates"],
            "n_splits": EVIDENCE["splits"],
            "seed": config["seed"],
        },
        code=code_of("bootstrap_languages"),
    script:
        "../workflow/scripts/bootstrap_languages.py"


rule relate_families:
    input:
        languages=LANGUAGE_TABLE,
        replicates="results/{model}/evidence/replicates.h5",
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        tests="results/{model}/evidence/families.h5",
        table=report(
            "results/{model}/evidence/families.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "tests of families"},
        ),
    log:
        "logs/{model}/relate_families.log",
    benchmark:
        "benchmarks/runs/{model}/relate_families.tsv"
    group:
        "evidence"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        seed=config["seed"],
        code=code_of("relate_families"),
    script:
        "../workflow/scripts/relate_families.py"


rule index_experts:
    input:
        languages=LANGUAGE_TABLE,
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
    output:
        index="results/{model}/evidence/experts.csv",
        specific=report(
            "results/{model}/evidence/specific_experts.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "most specific experts"},
        ),
    log:
        "logs/{model}/index_experts.log",
    benchmark:
        "benchmarks/runs/{model}/index_experts.tsv"
    group:
        "evidence"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        threshold=config["sharing"]["threshold"],
        n_most=EVIDENCE["specific_experts"],
        code=code_of("index_experts"),
    script:
        "../workflow/scripts/index_experts.py"


rule judge_recordings:
    input:
        **recordings_of(CONTROLS),
        paper=PAPER,
        criteria=CLAIMS,
        languages=LANGUAGE_TABLE,
        replicates="results/{model}/evidence/replicates.h5",
        tests="results/{model}/evidence/families.h5",
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
    output:
        claims="results/{model}/evidence/recording_claims.csv",
        robustness=report(
            "results/{model}/evidence/robustness.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "other choices and controls"},
        ),
        agreement=report(
            "results/{model}/evidence/partition_agreement.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "agreement of partitions"},
        ),
    log:
        "logs/{model}/judge_recordings.log",
    benchmark:
        "benchmarks/runs/{model}/judge_recordings.tsv"
    group:
        "evidence"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        controls=CONTROLS,
        settings={
            "threshold": config["sharing"]["threshold"],
            "other_thresholds": EVIDENCE["other_thresholds"],
        },
        judges=JUDGES,
        code=code_of("judge_recordings"),
    script:
        "../workflow/scripts/judge_recordings.py"


rule judge_claims:
    input:
        paper=PAPER,
        criteria=CLAIMS,
        replicates="results/{model}/evidence/replicates.h5",
        tests="results/{model}/evidence/families.h5",
        pruning=collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES),
        speed="results/{model}/pruning_speed.csv",
    output:
        report(
            "results/{model}/claims.csv",
            caption="../workflow/report/claims.rst",
            category="Claims",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/judge_claims.log",
    benchmark:
        "benchmarks/runs/{model}/judge_claims.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        code=code_of("judge_claims"),
    script:
        "../workflow/scripts/judge_claims.py"


rule write_claims_page:
    input:
        criteria=CLAIMS,
        claims="results/{model}/claims.csv",
        figures=collect("results/{{model}}/figures/{figure}.png", figure=PAGE_FIGURES),
        template=os.path.relpath(ROOT / "resources" / "templates" / "claims.html"),
    output:
        report(
            "results/{model}/claims.html",
            caption="../workflow/report/claims.rst",
            category="Claims",
            labels={"model": "{model}", "kind": "page"},
        ),
    log:
        "logs/{model}/write_claims_page.log",
    benchmark:
        "benchmarks/runs/{model}/write_claims_page.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        code=code_of("write_claims_page"),
    script:
        "../workflow/scripts/write_claims_page.py"


rule judge_frontier:
    input:
        criteria=CLAIMS,
        frontier="results/{model}/pruning_frontier.csv",
    output:
        report(
            "results/{model}/evidence/frontier_claims.csv",
            caption="../workflow/report/claims.rst",
            category="Claims",
            labels={"model": "{model}", "kind": "frontier"},
        ),
    log:
        "logs/{model}/judge_frontier.log",
    benchmark:
        "benchmarks/runs/{model}/judge_frontier.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        code=code_of("judge_frontier"),
    script:
        "../workflow/scripts/judge_frontier.py"


rule plot_evidence:
    input:
        languages=LANGUAGE_TABLE,
        replicates="results/{model}/evidence/replicates.h5",
        tests="results/{model}/evidence/families.h5",
        pairs="results/{model}/evidence/similarity_intervals.csv",
        noise="results/{model}/evidence/noise_floor.csv",
        curve="results/{model}/evidence/learning_curve.csv",
        trees="results/{model}/evidence/dendrograms.json",
        layers="results/{model}/evidence/layers.csv",
        experts="results/{model}/evidence/experts.csv",
        claims="results/{model}/evidence/recording_claims.csv",
        robustness="results/{model}/evidence/robustness.csv",
    output:
        svg=collect("results/{{model}}/figures/{figure}.svg", figure=EVIDENCE_FIGURES),
        png=report(
            collect("results/{{model}}/figures/{figure}.png", figure=EVIDENCE_FIGURES),
            caption="../workflow/report/evidence.rst",
            category="Evidence",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_evidence.log",
    benchmark:
        "benchmarks/runs/{model}/plot_evidence.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        look=look(),
        code=code_of("plot_evidence"),
    script:
        "../workflow/scripts/plot_evidence.py"


rule compare_models:
    input:
        **{f"{m} replicates": f"results/{m}/evidence/replicates.h5" for m in MODELS},
        **{f"{m} claims": f"results/{m}/claims.csv" for m in MODELS},
        languages=LANGUAGE_TABLE,
    output:
        agreement=report("results/models/agreement.csv", category="Models"),
        claims=report("results/models/claims.csv", category="Models"),
        svg=collect("results/models/figures/{pair}.svg", pair=MODEL_PAIRS),
        png=report(
            collect("results/models/figures/{pair}.png", pair=MODEL_PAIRS),
            caption="../workflow/report/models.rst",
            category="Models",
        ),
    log:
        "logs/compare_models.log",
    benchmark:
        "benchmarks/runs/compare_models.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        models=MODELS,
        languages=LANGUAGES,
        seed=config["seed"],
        look=look(),
        code=code_of("compare_models"),
    script:
        "../workflow/scripts/compare_models.py"


SWEEP_TOPS = {variant_name(f): f for f in EVIDENCE["sweep"]["top_fractions"]}
SWEEP_PARTITIONS = {
    f"experts_{n}": {"method": config["experts"]["method"], "n_experts": n}
    for n in EVIDENCE["sweep"]["n_experts"]
    if n != config["experts"]["n_experts"]
}
VARIANTS.update(SWEEP_PARTITIONS)
# Shares that record_activations has recorded already need no other pass.
TOPS_TO_RECORD = {name: f for name, f in SWEEP_TOPS.items() if name not in SWEEP}
SWEPT = [*TOPS_TO_RECORD, *SWEEP_PARTITIONS]
# Thresholds that lie as far above the mean frequency as the study's own.
SWEEP_SCALES = {
    **{
        name: f / RECORDING["top_fraction"]
        for name, f in {**SWEEP, **SWEEP_TOPS}.items()
    },
    **{name: 1.0 for name in SWEEP_PARTITIONS},
}

if SWEPT:

    rule record_sweep:
        input:
            model="results/{model}/model.json",
            tokens="results/{model}/tokens/{lang}.h5",
            experts="results/{model}/experts.h5",
            partitions=collect(
                "results/{{model}}/variants/{variant}/experts.h5",
                variant=SWEEP_PARTITIONS,
            ),
        output:
            **recorded(SWEPT, "{lang}.h5"),
        log:
            "logs/{model}/record_sweep/{lang}.log",
        benchmark:
            "benchmarks/runs/{model}/record_sweep/{lang}.tsv"
        conda:
            "../envs/babelscope.yaml"
        threads: THREADS
        resources:
            **GPU_NODES,
            gpu=model_gpus,
            mem_mb=model_memory,
            runtime=growing(60),
        params:
            compute=compute_settings,
            recording=recording_settings,
            top_fraction=RECORDING["top_fraction"],
            top_fractions=TOPS_TO_RECORD,
            partitions=list(SWEEP_PARTITIONS),
            code=code_of("record_sweep"),
        script:
            "../workflow/scripts/record_sweep.py"


if SWEEP_SCALES:
    EVIDENCE_FULL += collect("results/{model}/figures/evidence_sweep.png", model=MODELS)

    rule judge_sweep:
        input:
            **recordings_of(SWEEP_SCALES),
            paper=PAPER,
            criteria=CLAIMS,
            languages=str(LANGUAGE_TABLE),
            replicates="results/{model}/evidence/replicates.h5",
            tests="results/{model}/evidence/families.h5",
            tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        output:
            verdicts=report(
                "results/{model}/evidence/sweep.csv",
                category="Evidence",
                labels={
                    "model": "{model}",
                    "kind": "sweep of experts and active share",
                },
            ),
            agreement="results/{model}/evidence/sweep_agreement.csv",
        log:
            "logs/{model}/judge_sweep.log",
        benchmark:
            "benchmarks/runs/{model}/judge_sweep.tsv"
        group:
            "evidence"
        conda:
            "../envs/babelscope.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        params:
            languages=LANGUAGES,
            scales=SWEEP_SCALES,
            threshold=config["sharing"]["threshold"],
            judges=JUDGES,
            code=code_of("judge_sweep"),
        script:
            "../workflow/scripts/judge_sweep.py"

    rule plot_sweep:
        input:
            claims="results/{model}/evidence/recording_claims.csv",
            sweep="results/{model}/evidence/sweep.csv",
        output:
            svg="results/{model}/figures/evidence_sweep.svg",
            png=report(
                "results/{model}/figures/evidence_sweep.png",
                caption="../workflow/report/evidence.rst",
                category="Evidence",
                labels={"model": "{model}", "kind": "sweep"},
            ),
        log:
            "logs/{model}/plot_sweep.log",
        benchmark:
            "benchmarks/runs/{model}/plot_sweep.tsv"
        localrule: True
        conda:
            "../envs/babelscope.yaml"
        params:
            look=look(),
            code=code_of("plot_sweep"),
        script:
            "../workflow/scripts/plot_sweep.py"

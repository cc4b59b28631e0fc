"""How sure the findings are: noise, families, layers, experts, controls.

Needs: activations/{lang}.h5 of all languages, variants/{variant}/activations/{lang}.h5, tokens/{lang}.h5.
Makes: evidence/ and figures/evidence_* under results/{model}/. Sub-stages: claims.smk, sweep.smk.
"""


include: "inputs/evidence.smk"


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
JUDGES = {"n_replicates": EVIDENCE["replicates"], "seed": config["seed"]}
# What the recordings alone decide: `snakemake evidence`.
RECORDING_TARGETS = [
    "results/run_config.yaml",
    *collect("results/{model}/evidence/experts.csv", model=MODELS),
    *collect(
        "results/{model}/figures/{figure}.png", model=MODELS, figure=EVIDENCE_FIGURES
    ),
]


rule bootstrap_languages:
    input:
        **recordings_of(PARTITIONS),
        paper=PAPER,
        languages=LANGUAGE_TABLE,
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        domains=[
            f"results/{{model}}/activations/{node}.h5"
            for nodes in DOMAINS.values()
            for node in nodes
        ],
    output:
        replicates="results/{model}/evidence/replicates.h5",
        pairs="results/{model}/evidence/similarity_intervals.csv",
        neighbours="results/{model}/evidence/neighbours.csv",
        sharing="results/{model}/evidence/sharing_intervals.csv",
        layers="results/{model}/evidence/layers.csv",
        noise=report(
            "results/{model}/evidence/noise_floor.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "noise floor and tokens needed"},
        ),
        curve="results/{model}/evidence/learning_curve.csv",
        intervals="results/{model}/evidence/intervals.json",
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
        partitions=PARTITIONS,
        domains=DOMAINS,
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
        texts=collect("results/corpora/{lang}.jsonl", lang=LANGUAGES),
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
        **recordings_of([*CONTROLS, *PARTITIONS]),
        languages=LANGUAGE_TABLE,
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        index="results/{model}/evidence/experts.csv",
        experts="results/{model}/evidence/experts.json",
        classes=report(
            "results/{model}/evidence/expert_classes.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "classes of experts by partition"},
        ),
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
        others=[*CONTROLS, *PARTITIONS],
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
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        claims="results/{model}/evidence/recording_claims.csv",
        verdicts="results/{model}/evidence/verdicts.json",
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


rule plot_evidence:
    input:
        languages=LANGUAGE_TABLE,
        replicates="results/{model}/evidence/replicates.h5",
        tests="results/{model}/evidence/families.h5",
        intervals="results/{model}/evidence/intervals.json",
        trees="results/{model}/evidence/dendrograms.json",
        experts="results/{model}/evidence/experts.json",
        verdicts="results/{model}/evidence/verdicts.json",
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
        threshold=config["sharing"]["threshold"],
        look=look(),
        code=code_of("plot_evidence"),
    script:
        "../workflow/scripts/plot_evidence.py"

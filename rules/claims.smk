"""Verdicts on the paper's claims, the page that shows them, and what two models agree on.

Needs: evidence/ of every model, pruning/{lang}.json, pruning_speed.json; for `full` pruning_frontier/{lang}.json. Makes:
claims.csv, claims.json and claims.html under results/{model}/, and results/models/ where there are two models or more.
"""

# The figures that claims.yaml names, each once.
PAGE_FIGURES = list(
    dict.fromkeys(
        statistic["figure"]
        for claim in read_yaml(CLAIMS)["claims"]
        for statistic in claim["statistics"]
        if not (ROUTED and statistic["figure"] == "pruning")
    )
)
MODEL_PAIRS = [f"{a}_{b}" for i, a in enumerate(MODELS) for b in MODELS[i + 1 :]]
EVIDENCE_TARGETS = [
    *collect("results/{model}/claims.{kind}", model=MODELS, kind=["csv", "html"]),
    *collect(
        "results/{model}/figures/{figure}.png", model=MODELS, figure=EVIDENCE_FIGURES
    ),
    *(["results/models/agreement.csv"] if MODEL_PAIRS else []),
]
EVIDENCE_FULL = (
    []
    if ROUTED
    else collect("results/{model}/evidence/frontier_claims.csv", model=MODELS)
)


rule judge_claims:
    input:
        paper=PAPER,
        criteria=CLAIMS,
        replicates="results/{model}/evidence/replicates.h5",
        tests="results/{model}/evidence/families.h5",
        pruning=branch(
            ROUTED,
            then=[],
            otherwise=collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES),
        ),
        speed=branch(ROUTED, then=[], otherwise="results/{model}/pruning_speed.json"),
    output:
        record="results/{model}/claims.json",
        table=report(
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
        choice=CHOICE,
        code=code_of("judge_claims"),
    script:
        "../workflow/scripts/judge_claims.py"


rule write_claims_page:
    input:
        criteria=CLAIMS,
        claims="results/{model}/claims.json",
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
        languages=LANGUAGES,
        code=code_of("write_claims_page"),
    script:
        "../workflow/scripts/write_claims_page.py"


rule judge_frontier:
    input:
        criteria=CLAIMS,
        frontier=collect(
            "results/{{model}}/pruning_frontier/{lang}.json", lang=LANGUAGES
        ),
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
        languages=LANGUAGES,
        code=code_of("judge_frontier"),
    script:
        "../workflow/scripts/judge_frontier.py"


rule compare_models:
    input:
        **{f"{m} replicates": f"results/{m}/evidence/replicates.h5" for m in MODELS},
        **{f"{m} claims": f"results/{m}/claims.json" for m in MODELS},
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

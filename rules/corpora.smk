"""The claims in every corpus: second corpora (domains), pseudo-languages, parallel text sentence by sentence.

Needs: activations/{lang}.h5, tokens/{lang}.h5 and corpora/{lang}.jsonl of languages, domains and derived corpora.
Makes: evidence/corpora_*.csv, domains.csv, variance_components.csv, corpora.h5 and, of parallel text, sentences.csv,
sentences.h5 and pruning_matrix_paired.csv, with recording.token_types class_claims.csv, token_classes.csv and
class_similarity.csv under results/{model}/, and their figures. Target `corpora`.
"""


include: "inputs/corpora.smk"


CORPUS_SETS = corpus_sets()
CORPUS_NODES = [
    *LANGUAGES,
    *(node for one in CORPUS_SETS.values() for node in one["corpora"]),
]
CORPUS_TEXTS = [node for node in CORPUS_NODES if node not in OF_TOKENS]
PARALLEL = all(
    corpus.get(lang, corpus["default"]).get("parallel")
    for corpus in [config["corpus"]["sources"]]
    for lang in LANGUAGES
)
PARALLEL_FULL = (
    collect("results/{model}/pruning_matrix_paired.csv", model=MODELS)
    if PARALLEL
    else []
)
CORPUS_TARGETS = [
    "results/run_config.yaml",
    *collect("results/{model}/evidence/corpora_claims.csv", model=MODELS),
    *collect("results/{model}/figures/evidence_corpora.png", model=MODELS),
    *(
        collect("results/{model}/figures/evidence_sentences.png", model=MODELS)
        if PARALLEL
        else []
    ),
    *(
        collect("results/{model}/evidence/class_claims.csv", model=MODELS)
        if RECORDING["token_types"]
        else []
    ),
]
CORPORA_FULL = CORPUS_TARGETS if DOMAINS or DERIVED else []


rule corpora:
    input:
        CORPUS_TARGETS,


rule compare_corpora:
    input:
        paper=PAPER,
        criteria=CLAIMS,
        languages=LANGUAGE_TABLE,
        activations=collect(
            "results/{{model}}/activations/{lang}.h5", lang=CORPUS_NODES
        ),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=CORPUS_NODES),
        texts=collect("results/corpora/{lang}.jsonl", lang=CORPUS_TEXTS),
    output:
        claims=report(
            "results/{model}/evidence/corpora_claims.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "claims in every corpus"},
        ),
        families="results/{model}/evidence/corpora_families.csv",
        domains=report(
            "results/{model}/evidence/domains.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "a language in two corpora"},
        ),
        variance="results/{model}/evidence/variance_components.csv",
        distances="results/{model}/evidence/corpora.h5",
    log:
        "logs/{model}/compare_corpora.log",
    benchmark:
        "benchmarks/runs/{model}/compare_corpora.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        languages=LANGUAGES,
        derived=CORPUS_SETS,
        settings={
            "threshold": config["sharing"]["threshold"],
            "n_replicates": EVIDENCE["replicates"],
            "n_splits": EVIDENCE["splits"],
            "seed": config["seed"],
        },
        code=code_of("compare_corpora"),
    script:
        "../workflow/scripts/compare_corpora.py"


rule plot_corpora:
    input:
        languages=LANGUAGE_TABLE,
        distances="results/{model}/evidence/corpora.h5",
    output:
        svg="results/{model}/figures/evidence_corpora.svg",
        png=report(
            "results/{model}/figures/evidence_corpora.png",
            caption="../workflow/report/corpora.rst",
            category="Evidence",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_corpora.log",
    benchmark:
        "benchmarks/runs/{model}/plot_corpora.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        look=look(),
        code=code_of("plot_corpora"),
    script:
        "../workflow/scripts/plot_corpora.py"


rule compare_sentences:
    input:
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
    output:
        layers="results/{model}/evidence/sentences.h5",
        table=report(
            "results/{model}/evidence/sentences.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "the same sentence in two languages"},
        ),
        missing="results/{model}/evidence/translations.csv",
    log:
        "logs/{model}/compare_sentences.log",
    benchmark:
        "benchmarks/runs/{model}/compare_sentences.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        n_replicates=EVIDENCE["replicates"],
        seed=config["seed"],
        code=code_of("compare_sentences"),
    script:
        "../workflow/scripts/compare_sentences.py"


rule plot_sentences:
    input:
        languages=LANGUAGE_TABLE,
        layers="results/{model}/evidence/sentences.h5",
    output:
        svg="results/{model}/figures/evidence_sentences.svg",
        png=report(
            "results/{model}/figures/evidence_sentences.png",
            caption="../workflow/report/sentences.rst",
            category="Evidence",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_sentences.log",
    benchmark:
        "benchmarks/runs/{model}/plot_sentences.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        look=look(),
        code=code_of("plot_sentences"),
    script:
        "../workflow/scripts/plot_sentences.py"


rule pair_matrix:
    input:
        matrices=collect("results/{{model}}/pruning_matrix/{lang}.json", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        report(
            "results/{model}/pruning_matrix_paired.csv",
            category="Pruning",
            labels={"model": "{model}", "kind": "own experts on the same sentences"},
        ),
    log:
        "logs/{model}/pair_matrix.log",
    benchmark:
        "benchmarks/runs/{model}/pair_matrix.tsv"
    localrule: True
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        code=code_of("pair_matrix"),
    script:
        "../workflow/scripts/pair_matrix.py"


rule compare_classes:
    input:
        paper=PAPER,
        criteria=CLAIMS,
        languages=LANGUAGE_TABLE,
        types=collect("results/{{model}}/types/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        texts=collect("results/corpora/{lang}.jsonl", lang=LANGUAGES),
    output:
        claims=report(
            "results/{model}/evidence/class_claims.csv",
            category="Evidence",
            labels={"model": "{model}", "kind": "claims by class of tokens"},
        ),
        classes="results/{model}/evidence/token_classes.csv",
        similarity="results/{model}/evidence/class_similarity.csv",
    log:
        "logs/{model}/compare_classes.log",
    benchmark:
        "benchmarks/runs/{model}/compare_classes.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    params:
        languages=LANGUAGES,
        settings={
            "threshold": config["sharing"]["threshold"],
            "n_replicates": EVIDENCE["replicates"],
            "seed": config["seed"],
        },
        code=code_of("compare_classes"),
    script:
        "../workflow/scripts/compare_classes.py"

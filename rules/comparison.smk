"""Languages compared by their activation frequencies.

Needs: results/{model}/activations/{lang}.h5 and tokens/{lang}.h5 of all languages. Makes: frequency.h5, similarity.h5,
similarity_{measure}.csv, sharing.h5 and sharing.csv under results/{model}/.
"""

MEASURES = read_yaml(SCHEMA)["$defs"]["measure"]["enum"]


rule compare_languages:
    input:
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
    output:
        frequency="results/{model}/frequency.h5",
        similarity="results/{model}/similarity.h5",
        tables=report(
            collect("results/{{model}}/similarity_{measure}.csv", measure=MEASURES),
            category="Similarity",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/compare_languages.log",
    benchmark:
        "benchmarks/runs/{model}/compare_languages.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        code=code_of("compare_languages"),
    script:
        "../workflow/scripts/compare_languages.py"


rule count_sharing:
    input:
        frequency="results/{model}/frequency.h5",
    output:
        sharing="results/{model}/sharing.h5",
        table=report(
            "results/{model}/sharing.csv",
            category="Sharing",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/count_sharing.log",
    benchmark:
        "benchmarks/runs/{model}/count_sharing.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        threshold=config["sharing"]["threshold"],
        code=code_of("count_sharing"),
    script:
        "../workflow/scripts/count_sharing.py"


rule plot_frequency:
    input:
        frequency="results/{model}/frequency.h5",
    output:
        svg=collect("results/{{model}}/figures/frequency_{lang}.svg", lang=LANGUAGES),
        png=report(
            collect("results/{{model}}/figures/frequency_{lang}.png", lang=LANGUAGES),
            caption="../workflow/report/frequency.rst",
            category="Activation frequency",
            labels={"model": "{model}"},
        ),
    log:
        "logs/{model}/plot_frequency.log",
    benchmark:
        "benchmarks/runs/{model}/plot_frequency.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        names={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        look=look(),
        code=code_of("plot_frequency"),
    script:
        "../workflow/scripts/plot_frequency.py"


rule plot_similarity:
    input:
        similarity="results/{model}/similarity.h5",
    output:
        svg=collect(
            "results/{{model}}/figures/similarity_{measure}.svg", measure=MEASURES
        ),
        png=report(
            collect(
                "results/{{model}}/figures/similarity_{measure}.png", measure=MEASURES
            ),
            caption="../workflow/report/similarity.rst",
            category="Similarity",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_similarity.log",
    benchmark:
        "benchmarks/runs/{model}/plot_similarity.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        names={code: LANGUAGE_NAMES[code] for code in LANGUAGES},
        look=look(),
        code=code_of("plot_similarity"),
    script:
        "../workflow/scripts/plot_similarity.py"


rule plot_sharing:
    input:
        sharing="results/{model}/sharing.h5",
    output:
        svg="results/{model}/figures/sharing.svg",
        png=report(
            "results/{model}/figures/sharing.png",
            caption="../workflow/report/sharing.rst",
            category="Sharing",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_sharing.log",
    benchmark:
        "benchmarks/runs/{model}/plot_sharing.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        languages=LANGUAGES,
        threshold=config["sharing"]["threshold"],
        look=look(),
        code=code_of("plot_sharing"),
    script:
        "../workflow/scripts/plot_sharing.py"

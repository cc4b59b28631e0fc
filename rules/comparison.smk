"""Languages compared by their activation frequencies.

Needs: results/{model}/activations/{lang}.h5 of all languages. Makes: frequency.h5, similarity.h5,
similarity_{measure}.csv, sharing.h5 and sharing.csv under results/{model}/.
"""


rule compare_languages:
    input:
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
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
        threshold=config["sharing"]["threshold"],
        code=code_of("count_sharing"),
    script:
        "../workflow/scripts/count_sharing.py"

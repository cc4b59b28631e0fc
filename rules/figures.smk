"""Figures, each as PNG and SVG.

Needs: frequency.h5, similarity.h5, sharing.h5, experts/layer_{layer}.h5. Makes: results/{model}/figures/.
"""


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
        look=look(),
        code=code_of("plot_sharing"),
    script:
        "../workflow/scripts/plot_sharing.py"


rule plot_clustering:
    input:
        layers=layer_files,
    output:
        svg="results/{model}/figures/clustering.svg",
        png=report(
            "results/{model}/figures/clustering.png",
            caption="../workflow/report/clustering.rst",
            category="Experts",
            labels={"model": "{model}", "kind": "figure"},
        ),
    log:
        "logs/{model}/plot_clustering.log",
    benchmark:
        "benchmarks/runs/{model}/plot_clustering.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        look=look(),
        code=code_of("plot_clustering"),
    script:
        "../workflow/scripts/plot_clustering.py"

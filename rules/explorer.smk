"""What single units do in every language: contexts, and the page that shows them.

Needs: peaks/{lang}.h5, neurons/{lang}.h5, activations/{lang}.h5, tokens/{lang}.h5, corpora/{lang}.jsonl of all languages,
evidence/, pruning/{lang}.json. Makes: contexts/{lang}.jsonl, explorer.html under results/{model}/.
"""

CONTEXTS = config["contexts"]
EXPLORER_TARGETS = collect("results/{model}/explorer.html", model=MODELS)
# Sums of neurons: none inside routed experts.
NEURONS = (
    [] if ROUTED else collect("results/{{model}}/neurons/{lang}.h5", lang=LANGUAGES)
)


# One job for all languages: which units are of interest depends on all of them, and it takes seconds.
rule write_contexts:
    input:
        model="results/{model}/model.json",
        experts="results/{model}/experts.h5",
        languages=LANGUAGE_TABLE,
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        neurons=NEURONS,
        peaks=collect("results/{{model}}/peaks/{lang}.h5", lang=LANGUAGES),
        tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
        texts=collect("results/corpora/{lang}.jsonl", lang=LANGUAGES),
    output:
        collect("results/{{model}}/contexts/{lang}.jsonl", lang=LANGUAGES),
    log:
        "logs/{model}/write_contexts.log",
    benchmark:
        "benchmarks/runs/{model}/write_contexts.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        threshold=config["sharing"]["threshold"],
        units={key: CONTEXTS[key] for key in ("experts", "neurons", "shared", "units")},
        written={key: CONTEXTS[key] for key in ("text", "characters", "shown_random")},
        code=code_of("write_contexts"),
    script:
        "../workflow/scripts/write_contexts.py"


EXPLORER_PAGE = ROOT / "resources" / "templates" / "explorer"


rule write_explorer:
    input:
        **recordings_of(CONTROLS),
        model="results/{model}/model.json",
        experts="results/{model}/experts.h5",
        languages=LANGUAGE_TABLE,
        frequency="results/{model}/frequency.h5",
        intervals="results/{model}/evidence/frequency_intervals.h5",
        similarity="results/{model}/similarity.h5",
        trees="results/{model}/evidence/dendrograms.json",
        pruning=(
            []
            if ROUTED
            else collect("results/{{model}}/pruning/{lang}.json", lang=LANGUAGES)
        ),
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
        neurons=NEURONS,
        contexts=collect("results/{{model}}/contexts/{lang}.jsonl", lang=LANGUAGES),
        ablation=branch(
            config["explorer"]["ablation"],
            then=collect(
                "results/{{model}}/{removed}/{lang}.json",
                removed="routed_pruning" if ROUTED else "ablation",
                lang=LANGUAGES,
            ),
            otherwise=[],
        ),
        template=os.path.relpath(EXPLORER_PAGE / "page.html"),
        parts=[os.path.relpath(path) for path in sorted(EXPLORER_PAGE.glob("*.[cj]s*"))],
    output:
        report(
            "results/{model}/explorer.html",
            caption="../workflow/report/explorer.rst",
            category="Explorer",
            labels={"model": "{model}"},
        ),
    log:
        "logs/{model}/write_explorer.log",
    benchmark:
        "benchmarks/runs/{model}/write_explorer.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        controls=CONTROLS,
        choice=CHOICE,
        n_most=EVIDENCE["specific_experts"],
        seed=config["seed"],
        code=code_of("write_explorer"),
    script:
        "../workflow/scripts/write_explorer.py"

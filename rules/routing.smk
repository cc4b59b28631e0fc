"""Which routed experts of a mixture of experts serve which language (experts.method: router).

Needs: activations/{lang}.h5. Makes: routing.csv under results/{model}/.
"""

ROUTING_TARGETS = collect("results/{model}/routing.csv", model=MODELS)
ROUTING_FULL = []


rule tabulate_routing:
    input:
        activations=collect("results/{{model}}/activations/{lang}.h5", lang=LANGUAGES),
    output:
        report(
            "results/{model}/routing.csv",
            caption="../workflow/report/routing.rst",
            category="Routing",
            labels={"model": "{model}", "kind": "table"},
        ),
    log:
        "logs/{model}/tabulate_routing.log",
    benchmark:
        "benchmarks/runs/{model}/tabulate_routing.tsv"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        languages=LANGUAGES,
        settings={
            "threshold": config["sharing"]["threshold"],
            "n_replicates": EVIDENCE["replicates"],
            "seed": config["seed"],
        },
        code=code_of("tabulate_routing"),
    script:
        "../workflow/scripts/tabulate_routing.py"

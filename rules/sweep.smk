"""Other numbers of experts and other shares of active ones, for `snakemake full`.

Needs: model.json, tokens/{lang}.h5, experts.h5, evidence/recording_claims.csv, evidence/similarity_intervals.csv.
Makes: variants/{variant}/experts.h5 and variants/{variant}/activations/{lang}.h5, all out of one more pass;
evidence/sweep.csv, evidence/sweep_agreement.csv, figures/evidence_sweep under results/{model}/.
"""

SWEEP_TOPS = {
    f"top_{100 * f:g}".replace(".", "_"): f for f in EVIDENCE["sweep"]["top_fractions"]
}
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
            recorded(SWEPT, "{lang}.h5"),
        log:
            "logs/{model}/record_sweep/{lang}.log",
        benchmark:
            "benchmarks/runs/{model}/record_sweep/{lang}.tsv"
        conda:
            "../envs/babelscope.yaml"
        threads: THREADS
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
    FULL_TARGETS += collect("results/{model}/figures/evidence_sweep.png", model=MODELS)

    rule judge_sweep:
        input:
            paper=PAPER,
            languages=str(LANGUAGE_TABLE),
            tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
            claims="results/{model}/evidence/recording_claims.csv",
            pairs="results/{model}/evidence/similarity_intervals.csv",
            activations=collect(
                "results/{{model}}/variants/{variant}/activations/{lang}.h5",
                variant=SWEEP_SCALES,
                lang=LANGUAGES,
            ),
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
        conda:
            "../envs/babelscope.yaml"
        params:
            languages=LANGUAGES,
            scales=SWEEP_SCALES,
            settings={
                "threshold": config["sharing"]["threshold"],
                "n_replicates": EVIDENCE["replicates"],
                "seed": config["seed"],
            },
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

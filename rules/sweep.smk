"""Would other numbers of experts, shares of active ones or scores tell another story? For `full`.

Needs: tokens/{lang}.h5, experts.h5, evidence/replicates.h5 and families.h5. Makes: variants/{variant}/ of every point of
the sweep, evidence/sweep.csv, evidence/sweep_agreement.csv, figures/evidence_sweep under results/{model}/.
"""

# Routers say how many experts there are, and how many are active.
SWEEP = (
    {"top_fractions": [], "n_experts": [], "scores": []}
    if ROUTED
    else EVIDENCE["sweep"]
)
SWEEP_TOPS = {variant_name(f): f for f in SWEEP["top_fractions"]}
SWEEP_PARTITIONS = {
    f"experts_{n}": {"method": config["experts"]["method"], "n_experts": n}
    for n in SWEEP["n_experts"]
    if n != config["experts"]["n_experts"]
}
VARIANTS.update(SWEEP_PARTITIONS)
SWEEP_SCORES = [f"score_{name}" for name in SWEEP["scores"]]
SWEPT = [*SWEEP_TOPS, *SWEEP_PARTITIONS, *SWEEP_SCORES]
# Thresholds that lie as far above the mean frequency as the study's own.
SWEEP_SCALES = {
    **{name: f / RECORDING["top_fraction"] for name, f in SWEEP_TOPS.items()},
    **{name: 1.0 for name in [*SWEEP_PARTITIONS, *SWEEP_SCORES]},
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
        threads: model_threads
        resources:
            **GPU_NODES,
            gpu=model_gpus,
            mem_mb=model_memory,
            runtime=growing(60),
        params:
            compute=compute_settings,
            recording=recording_settings,
            top_fraction=RECORDING["top_fraction"],
            top_fractions=SWEEP_TOPS,
            scores=SWEEP["scores"],
            partitions=list(SWEEP_PARTITIONS),
            code=code_of("record_sweep"),
        script:
            "../workflow/scripts/record_sweep.py"


if SWEEP_SCALES:
    EVIDENCE_FULL += collect("results/{model}/figures/evidence_sweep.png", model=MODELS)

    rule judge_sweep:
        input:
            **recordings_of(SWEEP_SCALES),
            activations=collect(
                "results/{{model}}/activations/{lang}.h5", lang=LANGUAGES
            ),
            tokens=collect("results/{{model}}/tokens/{lang}.h5", lang=LANGUAGES),
            paper=PAPER,
            criteria=CLAIMS,
            languages=str(LANGUAGE_TABLE),
            replicates="results/{model}/evidence/replicates.h5",
            tests="results/{model}/evidence/families.h5",
        output:
            verdicts=report(
                "results/{model}/evidence/sweep.csv",
                category="Evidence",
                labels={
                    "model": "{model}",
                    "kind": "sweep of experts and active share",
                },
            ),
            record="results/{model}/evidence/sweep.json",
            agreement="results/{model}/evidence/sweep_agreement.csv",
            identities=report(
                "results/{model}/evidence/sweep_identities.csv",
                category="Evidence",
                labels={"model": "{model}", "kind": "sweep: the same experts"},
            ),
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
            same_experts=[*SWEEP_TOPS, *SWEEP_SCORES],
            n_most=EVIDENCE["specific_experts"],
            threshold=config["sharing"]["threshold"],
            judges=JUDGES,
            code=code_of("judge_sweep"),
        script:
            "../workflow/scripts/judge_sweep.py"

    rule plot_sweep:
        input:
            verdicts="results/{model}/evidence/verdicts.json",
            sweep="results/{model}/evidence/sweep.json",
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
            languages=LANGUAGES,
            look=look(),
            code=code_of("plot_sweep"),
        script:
            "../workflow/scripts/plot_sweep.py"

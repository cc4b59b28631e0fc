"""Which parts of a multilingual language model work for which language: the whole study."""

from snakemake.utils import min_version, validate

min_version("9.25")


configfile: workflow.source_path("config/config.yaml")


include: "rules/study.smk"
include: "rules/resources.smk"
include: "rules/model.smk"
include: "rules/text.smk"
include: "rules/experts.smk"
include: "rules/recording.smk"
include: "rules/comparison.smk"
include: "rules/layer_costs.smk"
include: "rules/pruning.smk"
include: "rules/distil.smk"
include: "rules/frontier.smk"
include: "rules/ablation.smk"
include: "rules/selectors.smk"
include: "rules/perplexity.smk"
include: "rules/responses.smk"
include: "rules/evidence.smk"
include: "rules/claims.smk"
include: "rules/corpora.smk"
include: "rules/sweep.smk"
include: "rules/routing.smk"
include: "rules/explorer.smk"


FIGURES = [
    *collect("frequency_{lang}", lang=LANGUAGES),
    *collect("similarity_{measure}", measure=MEASURES),
    "sharing",
    *([] if ROUTED else ["pruning", "clustering"]),
]
# What the routers of a mixture of experts give, or what pruning groups of neurons does.
OF_THE_METHOD = (
    ROUTING_TARGETS
    if ROUTED
    else collect(
        "results/{model}/{table}.csv",
        model=MODELS,
        table=["pruning", "pruning_speed"],
    )
)
# What `snakemake full` makes beyond the default run, in parts: `snakemake full_matrix` and so on.
FULL_PARTS = {
    "responses": [
        *collect("results/{model}/responses.csv", model=MODELS),
        *collect(
            "results/{model}/annotation/{lang}.html", model=MODELS, lang=LANGUAGES
        ),
    ],
    # every run makes it; with config/full.yaml more controls are in it
    "controls": collect("results/{model}/pruning.csv", model=MODELS),
    "matrix": collect("results/{model}/pruning_matrix.csv", model=MODELS),
    "frontier": collect("results/{model}/pruning_frontier.csv", model=MODELS),
    "ablation": ABLATION_FULL,
    "selectors": SELECTORS_FULL,
    "evidence": EVIDENCE_FULL,
    "parallel": PARALLEL_FULL,
    "corpora": CORPORA_FULL,
}
if ROUTED:
    FULL_PARTS = {"routing": ROUTING_FULL}


rule all:
    default_target: True
    input:
        "results/run_config.yaml",
        collect("results/{model}/similarity.h5", model=MODELS),
        collect("results/{model}/sharing.csv", model=MODELS),
        OF_THE_METHOD,
        collect("results/{model}/figures/{figure}.png", model=MODELS, figure=FIGURES),
        EVIDENCE_TARGETS,
        EXPLORER_TARGETS,


rule evidence:
    input:
        RECORDING_TARGETS,


rule full:
    input:
        rules.all.input,
        FULL_PARTS.values(),


for part, files in FULL_PARTS.items():

    rule:
        name:
            f"full_{part}"
        input:
            files,
        localrule: True


# On a cluster these run where snakemake runs: what needs the hub, since compute nodes often have no network, and
# what takes seconds.
localrules:
    all,
    assemble_partition,
    compare_languages,
    count_sharing,
    derive_corpus,
    derive_tokens,
    corpora,
    evidence,
    full,
    judge_claims,
    judge_frontier,
    plot_clustering,
    plot_evidence,
    plot_frequency,
    plot_pruning,
    plot_sharing,
    plot_similarity,
    prepare_model,
    sample_corpus,
    save_config,
    summarise_annotations,
    summarise_responses,
    tabulate_ablations,
    tabulate_frontier,
    tabulate_matrix,
    tabulate_pruning,
    tabulate_routing,
    tabulate_selectors,
    write_annotation_page,
    write_claims_page,
    write_contexts,
    write_explorer,


rule save_config:
    output:
        "results/run_config.yaml",
    log:
        "logs/save_config.log",
    conda:
        "envs/babelscope.yaml"
    params:
        config=config,
        code=code_of("save_config"),
    script:
        "workflow/scripts/save_config.py"

"""Every feed-forward layer cut into experts.

Needs: results/{model}/model.json. Makes: results/{model}/experts/layer_{layer}.h5,
results/{model}/experts.h5, results/{model}/variants/{variant}/experts.h5 for control partitions.
"""


include: "inputs/experts.smk"


# The routers of a mixture of experts say what its experts are, and which are active: nothing is cut.
ROUTED = config["experts"]["method"] == "router"
CONTROLS = [] if ROUTED else config["recording"]["controls"]
# The study's own way to cut experts with other seeds: how far a finding depends on the draw.
PARTITIONS = [
    f"seed_{number}"
    for number in range(1, config["recording"]["other_partitions"] + 1)
    if config["experts"]["method"] not in ("contiguous", "router")
]
VARIANTS = {
    name: {"method": name, "n_experts": config["experts"]["n_experts"]}
    for name in CONTROLS
}
VARIANTS.update(
    {
        name: {
            "method": config["experts"]["method"],
            "n_experts": config["experts"]["n_experts"],
            "seed": config["seed"] + number,
        }
        for number, name in enumerate(PARTITIONS, start=1)
    }
)


# On a GPU a layer takes less time than a job needs to start: one job has several.
LAYERS_PER_JOB = 8 if clusters_on_gpu() else 1
CLUSTERING = dict(experts=config["experts"], seed=config["seed"])

if LAYERS_PER_JOB == 1:

    rule cluster_layer:
        input:
            model="results/{model}/model.json",
        output:
            "results/{model}/experts/layer_{layer}.h5",
        log:
            "logs/{model}/cluster_layer/{layer}.log",
        benchmark:
            "benchmarks/runs/{model}/cluster_layer/{layer}.tsv"
        group:
            "clustering"
        conda:
            "../envs/babelscope.yaml"
        threads: 1
        resources:
            gpu=0,
            mem_mb=growing(6000),
            runtime=growing(30),
        params:
            **CLUSTERING,
            code=code_of("cluster_layer"),
        script:
            "../workflow/scripts/cluster_layer.py"

else:
    for model, first, paths in layer_groups(LAYERS_PER_JOB):

        rule:
            name:
                f"cluster_layers_of_{model}_from_{first}"
            input:
                model=f"results/{model}/model.json",
            output:
                paths,
            log:
                f"logs/{model}/cluster_layer/{first}.log",
            benchmark:
                f"benchmarks/runs/{model}/cluster_layer/{first}.tsv"
            conda:
                "../envs/babelscope.yaml"
            threads: GPU_THREADS
            resources:
                **GPU_NODES_ALWAYS,
                gpu=clustering_gpus(),
                mem_mb=growing(12000),
                runtime=growing(30),
            params:
                **CLUSTERING,
                code=code_of("cluster_layer"),
            script:
                "../workflow/scripts/cluster_layer.py"


rule assemble_partition:
    input:
        model="results/{model}/model.json",
        layers=branch(ROUTED, then=[], otherwise=layer_files),
    output:
        "results/{model}/experts.h5",
    log:
        "logs/{model}/assemble_partition.log",
    benchmark:
        "benchmarks/runs/{model}/assemble_partition.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        method=config["experts"]["method"],
        code=code_of("assemble_partition"),
    script:
        "../workflow/scripts/assemble_partition.py"


rule make_control_partition:
    input:
        model="results/{model}/model.json",
    output:
        "results/{model}/variants/{variant}/experts.h5",
    log:
        "logs/{model}/make_control_partition/{variant}.log",
    benchmark:
        "benchmarks/runs/{model}/make_control_partition/{variant}.tsv"
    # one of them takes as long as many layers: it does not come last
    priority: 1
    conda:
        "../envs/babelscope.yaml"
    threads: CPU_THREADS
    resources:
        gpu=lambda wildcards: (
            0 if wildcards.variant in CONTROLS else clustering_gpus()
        ),
        mem_mb=growing(12000),
        runtime=growing(120),
    params:
        variant=lambda wildcards: VARIANTS[wildcards.variant],
        # these take seconds, and get no GPU
        device=lambda wildcards: (
            "cpu" if wildcards.variant in CONTROLS else config["experts"]["device"]
        ),
        matrix=config["experts"]["matrix"],
        normalize_rows=config["experts"]["normalize_rows"],
        seed=config["seed"],
        code=code_of("make_control_partition"),
    script:
        "../workflow/scripts/make_control_partition.py"


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

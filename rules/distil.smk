"""The finished models trained towards the dense model's outputs, where pruning.distil_epochs is not 0.

Needs: model.json, tokens/{lang}.h5, pruned/{target}.safetensors. Makes: distilled/{target}.safetensors, under
results/{model}/.
"""

if DISTIL:

    rule distil:
        input:
            model="results/{model}/model.json",
            tokens=of_members("results/{model}/tokens/{lang}.h5"),
            plan="results/{model}/pruned/{target}.safetensors",
        output:
            "results/{model}/distilled/{target}.safetensors",
        log:
            "logs/{model}/distil/{target}.log",
        benchmark:
            "benchmarks/runs/{model}/distil/{target}.tsv"
        # with the compensations: evaluations wait for it
        priority: 2
        group:
            "pruning"
        conda:
            "../envs/babelscope.yaml"
        threads: model_threads
        resources:
            **GPU_NODES,
            gpu=model_gpus,
            # the dense model, the pruned one and what training keeps of it
            mem_mb=lambda wildcards, attempt: 2 * model_memory(wildcards, attempt),
            runtime=growing(240),
        params:
            languages=lambda wildcards: TARGETS[wildcards.target],
            compute=compute_settings,
            choice=CHOICE,
            fit=FIT,
            distil=DISTIL,
            code=code_of("distil"),
        script:
            "../workflow/scripts/distil.py"

"""Documents of every language, as text and as tokens.

Needs: corpus.sources, results/{model}/model.json. Makes: results/corpora/{lang}.jsonl,
results/{model}/tokens/{lang}.h5.
"""


include: "inputs/text.smk"


from babelscope.text.sources import ending_of, require_printable

if workflow.is_main_process:
    # Snakemake passes over an error of an input function where the output is there from before.
    with errors_in_one_line():
        for lang in LANGUAGES:
            corpus_files(SimpleNamespace(lang=lang))


rule sample_corpus:
    input:
        corpus_files,
    output:
        "results/corpora/{lang}.jsonl",
    log:
        "logs/corpora/{lang}.log",
    benchmark:
        "benchmarks/runs/corpora/{lang}.tsv"
    conda:
        "../envs/babelscope.yaml"
    params:
        source=corpus_source,
        sampling={
            key: config["corpus"][key]
            for key in (
                "profile_documents",
                "heldout_documents",
                "min_characters",
                "max_characters",
                "allow_fewer",
            )
        },
        seed=config["seed"],
        code=code_of("sample_corpus"),
    script:
        "../workflow/scripts/sample_corpus.py"


rule tokenize_corpus:
    input:
        model="results/{model}/model.json",
        corpus="results/corpora/{lang}.jsonl",
    output:
        "results/{model}/tokens/{lang}.h5",
    log:
        "logs/{model}/tokenize_corpus/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/tokenize_corpus/{lang}.tsv"
    group:
        "tokens"
    conda:
        "../envs/babelscope.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        max_tokens=config["corpus"]["max_tokens"],
        code=code_of("tokenize_corpus"),
    script:
        "../workflow/scripts/tokenize_corpus.py"

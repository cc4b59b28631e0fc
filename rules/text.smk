"""Documents of every language, as text and as tokens.

Needs: corpus.sources, results/{model}/model.json. Makes: results/corpora/{lang}.jsonl,
results/{model}/tokens/{lang}.h5.
"""

from babelscope.text.sources import ending_of


def corpus_source(wildcards):
    """The source of one language: its own, or the default."""
    sources = config["corpus"]["sources"]
    return sources.get(wildcards.lang, sources["default"])


def corpus_files(wildcards):
    """Local files of one language: an edited file makes its documents anew."""
    pattern = corpus_source(wildcards).get("files", "")
    paths = sorted(
        path
        for path in glob.glob(pattern.replace("{lang}", wildcards.lang), recursive=True)
        if Path(path).is_file()
    )
    if "columns" not in corpus_source(wildcards):
        for path in paths:
            ending_of(Path(path))
    return paths


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

"""Documents of every language, as text and as tokens; of {lang}.{name} for domains and derived corpora.

Needs: corpus.sources, results/{model}/model.json. Makes: results/corpora/{lang}.jsonl,
results/{model}/tokens/{lang}.h5.
"""


include: "inputs/text.smk"


import re

from babelscope.text.sources import ending_of, require_printable

if workflow.is_main_process:
    # Snakemake passes over an error of an input function where the output is there from before.
    with errors_in_one_line():
        for lang in LANGUAGES:
            corpus_files(SimpleNamespace(lang=lang))

DOMAINS = nodes_of("domains")
DERIVED = nodes_of("derive")
# Derived from tokens, not from texts.
OF_TOKENS = [
    node
    for name, nodes in DERIVED.items()
    for node in nodes
    if config["corpus"]["derive"][name]["how"].endswith("_tokens")
]
OF_TEXTS = [n for nodes in DERIVED.values() for n in nodes if n not in OF_TOKENS]
SAMPLED = [*LANGUAGES, *(node for nodes in DOMAINS.values() for node in nodes)]


rule sample_corpus:
    input:
        corpus_files,
    output:
        "results/corpora/{lang}.jsonl",
    log:
        "logs/corpora/{lang}.log",
    benchmark:
        "benchmarks/runs/corpora/{lang}.tsv"
    wildcard_constraints:
        lang=one_of(SAMPLED),
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


rule derive_corpus:
    input:
        lambda wildcards: f"results/corpora/{base_of(wildcards)}.jsonl",
    output:
        "results/corpora/{lang}.jsonl",
    log:
        "logs/derived/{lang}.log",
    benchmark:
        "benchmarks/runs/derived/{lang}.tsv"
    wildcard_constraints:
        lang=one_of(OF_TEXTS),
    conda:
        "../envs/babelscope.yaml"
    params:
        derivation=derivation,
        seed=config["seed"],
        code=code_of("derive_corpus"),
    script:
        "../workflow/scripts/derive_corpus.py"


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
    wildcard_constraints:
        lang=one_of([*SAMPLED, *OF_TEXTS]),
    # before the recordings: behind them, a language's own would come last of all
    priority: 4
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


rule derive_tokens:
    input:
        tokens=lambda wildcards: f"results/{wildcards.model}/tokens/{base_of(wildcards)}.h5",
        other=other_tokens,
    output:
        "results/{model}/tokens/{lang}.h5",
    log:
        "logs/{model}/derive_tokens/{lang}.log",
    benchmark:
        "benchmarks/runs/{model}/derive_tokens/{lang}.tsv"
    wildcard_constraints:
        lang=one_of(OF_TOKENS),
    group:
        "tokens"
    conda:
        "../envs/babelscope.yaml"
    params:
        derivation=derivation,
        max_tokens=config["corpus"]["max_tokens"],
        code=code_of("derive_tokens"),
    script:
        "../workflow/scripts/derive_tokens.py"

"""What all stages share: checked configuration, lists of wildcards, code digests.

Needs: the merged configuration. Makes: results/run_config.yaml.
"""

import glob
import os
import sys
from pathlib import Path

# Idle OpenMP threads sleep instead of spinning: where two jobs share cores, spinning makes both ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(workflow.basedir)
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from babelscope.code_digest import code_digest
import yaml
from babelscope.config import check_config, replace_sources
from babelscope.languages import read_languages

# Relative, so that a study that is moved with its workflow has the same inputs as before.
LANGUAGE_TABLE = os.path.relpath(ROOT / "config" / "languages.tsv")
SCHEMA = ROOT / "config" / "config.schema.yaml"
LANGUAGE_NAMES = {
    code: row.name for code, row in read_languages(LANGUAGE_TABLE).items()
}

replace_sources(
    config,
    yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")),
)
check_config(config, SCHEMA, LANGUAGE_NAMES)
validate(config, str(SCHEMA))

MODELS = config["models"]
LANGUAGES = config["languages"]
CONTROLS = config["recording"]["controls"]
VARIANTS = {
    name: {"method": name, "n_experts": config["experts"]["n_experts"]}
    for name in CONTROLS
}
# What a pruned model serves: one language, or several together.
TARGETS = {**{lang: [lang] for lang in LANGUAGES}, **config["pruning"]["unions"]}
CHOICE = {
    "method": config["pruning"]["method"],
    "threshold": config["sharing"]["threshold"],
    "share": config["pruning"]["share"],
}
# Of a job that runs the model: four at once with few threads each are half as fast again as one with all.
THREADS = max(1, (workflow.resource_settings.cores or 16) // 4)
MEASURES = ["euclidean", "kl", "pearson"]
FIGURES = [
    *collect("frequency_{lang}", lang=LANGUAGES),
    *collect("similarity_{measure}", measure=MEASURES),
    "sharing",
    "pruning",
    "clustering",
]
# What `snakemake full` makes beyond the default run; every stage adds its own.
FULL_TARGETS = [
    *collect("results/{model}/responses.csv", model=MODELS),
    *collect("results/{model}/annotation/{lang}.html", model=MODELS, lang=LANGUAGES),
    *collect(
        "results/{model}/pruning_{table}.csv",
        model=MODELS,
        table=["matrix", "frontier"],
    ),
]


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    lang="[A-Za-z0-9][A-Za-z0-9_-]*",
    layer="[0-9][0-9]+",
    variant="[a-z_0-9]+",
    target="[A-Za-z0-9][A-Za-z0-9_-]*",


def code_of(rule_name):
    """Digest of the code that a rule's script depends on; a parameter of every rule."""
    return code_digest(SCRIPTS / f"{rule_name}.py")


def definition(wildcards):
    """The configuration of one model."""
    return config["model_definitions"][wildcards.model]


def compute_settings(wildcards):
    """How one model computes: type, device, size of batches."""
    keys = ("dtype", "device", "device_map", "compile", "tokens_per_batch")
    return {key: definition(wildcards)[key] for key in keys}


def of_members(pattern):
    """One file for each language that a pruned model serves."""
    return lambda wildcards: collect(
        pattern, model=wildcards.model, lang=TARGETS[wildcards.target]
    )


def layer_files(wildcards):
    """One file a layer of the model."""
    n_layers = definition(wildcards)["n_layers"]
    return [
        f"results/{wildcards.model}/experts/layer_{layer:02d}.h5"
        for layer in range(n_layers)
    ]


def look():
    """Parameters of every figure."""
    return dict(config["figures"])


def corpus_source(wildcards):
    """The source of one language: its own, or the default."""
    sources = config["corpus"]["sources"]
    return sources.get(wildcards.lang, sources["default"])


def corpus_files(wildcards):
    """Local files of one language: an edited file makes its documents anew."""
    pattern = corpus_source(wildcards).get("files", "")
    return sorted(
        path
        for path in glob.glob(pattern.replace("{lang}", wildcards.lang), recursive=True)
        if Path(path).is_file()
    )


def annotation_files(wildcards):
    """Files that annotators of a model have exported from their pages."""
    pattern = config["responses"]["annotations"].format(model=wildcards.model)
    return sorted(glob.glob(pattern, recursive=True))

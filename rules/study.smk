"""Shared by all stages: checked configuration, lists of wildcards, code digests.

Needs: the merged configuration. Makes: results/run_config.yaml.
"""

import glob
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

# Idle OpenMP threads sleep instead of spinning: where two jobs share cores, spinning makes both ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Memory of hidden states and activations is kept for the next batch: giving it back to the system and getting it
# again, page by page, is a sixth of the time of a job that runs a model on the CPU. Read by glibc alone.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 * 1024**2))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1024**3))


include: "inputs/study.smk"


# Where the workflow lies on disk, also where another project uses it as a module.
ROOT = workflow_folder(workflow.current_basedir)
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
# Jobs use the library beside their scripts, whatever else of its name is installed.
os.environ.update(
    PYTHONPATH=os.pathsep.join([str(SCRIPTS), *filter(None, [os.getenv("PYTHONPATH")])])
)

from babelscope.model.weights_digest import check_depth
from babelscope.study.code_digest import shared_digest
from babelscope.study.configuration import (
    check_config,
    merge_config,
    read_yaml,
    refuse_duplicate_keys,
    replace_sources,
)
from babelscope.study.errors import BabelscopeError
from babelscope.study.key_rules import variant_name
from babelscope.study.languages import read_languages

# Relative, so that a study that is moved with its workflow has the same inputs as before.
LANGUAGE_TABLE = os.path.relpath(ROOT / "resources" / "languages.tsv")
SCHEMA = ROOT / "config" / "config.schema.yaml"
LANGUAGE_NAMES = {
    code: row.name for code, row in read_languages(LANGUAGE_TABLE).items()
}

EMBEDDED = read_yaml(ROOT / "config" / "config.yaml")
with errors_in_one_line():
    refuse_duplicate_keys(filter(os.path.exists, dict.fromkeys(workflow.configfiles)))
    # A project that uses this one as a module gives the keys that differ.
    config = merge_config(EMBEDDED, config)
    replace_sources(config, EMBEDDED)
    check_config(config, SCHEMA, LANGUAGE_NAMES)
    for model in config["models"]:
        check_depth(
            model,
            config["model_definitions"][model],
            f"results/{model}/model.json",
        )
validate(config, str(SCHEMA))

MODELS = config["models"]
LANGUAGES = config["languages"]


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    lang="[A-Za-z0-9][A-Za-z0-9_-]*(\\.[A-Za-z0-9_-]+)?",
    layer="[0-9][0-9]+",
    variant="[a-z_0-9]+",
    target="[A-Za-z0-9][A-Za-z0-9_-]*",

"""``import babelscope`` gives a few names, and loads what they need when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import babelscope
from babelscope.files.page import find_kinds

# One public reader per kind of file.
READERS = {
    "activations": "read_activations",
    "experts": "read_partition",
    "family_tests": "read_family_tests",
    "frequency": "read_frequency",
    "frequency_intervals": "read_frequency_intervals",
    "layer_costs": "read_layer_costs",
    "layer_experts": "read_layer_sse",
    "neurons": "read_neurons",
    "replicates": "read_replicates",
    "sharing": "read_sharing",
    "similarity": "read_similarity",
    "tokens": "read_tokens",
    "peaks": "read_peaks",
    "contexts": "read_contexts",
    "corpus": "read_documents",
    "responses": "read_responses",
    "corpora": "read_corpora",
    "expert_saliency": "read_saliency",
    "sentences": "read_sentences",
    "token_types": "read_token_types",
}


@pytest.mark.parametrize("name", [name for name in babelscope.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_says_what_it_does(name):
    assert getattr(babelscope, name).__doc__


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'reed_tokens'"):
        _ = babelscope.reed_tokens


def test_importing_the_package_loads_nothing_else():
    code = "import babelscope, sys; print({'torch', 'numpy', 'sklearn'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_kind_of_file_has_a_public_reader():
    kinds = {kind.name for kind in find_kinds() if not kind.path.endswith(".json")}  # those: read_json
    kinds -= {"neuron_shard", "peak_shard"}  # read by the rule that joins them alone
    assert kinds == set(READERS), "a new kind of file needs a reader in babelscope/__init__.py"
    assert set(READERS.values()) <= set(babelscope.__all__)

"""Models and text of a hub, played by a small server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny import make_text, save_model
from tests.workflow.hub import COMMIT, Hub, running_hub

OTHER_COMMIT = "f" * 40
MODELS = {
    "good": {},
    "missing": {"hub": "us/nothing"},
    "other commit": {"revision": OTHER_COMMIT},
    "gated": {"hub": "us/gated"},
    "broken": {"hub": "us/broken"},
    "pickled": {"hub": "us/pickled"},
    "wrong depth": {"n_layers": 3},
}
TEXTS = {
    "good": {},
    "whole": {"streaming": False},
    "missing": {"hub": "us/nothing"},
    "other commit": {"revision": OTHER_COMMIT},
    "gated": {"hub": "us/gated"},
    "no such config": {"config": "v2.{lang}"},
    "no such column": {"text_column": "text"},
    "no such split": {"split": "test"},
}
# One process for all cases: the hub's client reads its address when it is imported.
PROGRAM = """
import json, sys
from dataclasses import asdict
from babelscope.text.documents import sample_documents
from babelscope.study.errors import BabelscopeError
from babelscope.model.prepare import prepare_model

sizes = {"profile_documents": 20, "heldout_documents": 5, "min_characters": 5, "max_characters": 4000}
sampling = {**sizes, "allow_fewer": False, "seed": 0}

def outcome(call, *args, **options):
    try:
        return call(*args, **options)
    except BabelscopeError as error:
        return {"error": str(error)}

models, texts = json.loads(sys.argv[1])
found = {"models": {}, "texts": {}}
for name, changes in models.items():
    definition = {"n_layers": changes.pop("n_layers", 2)}
    definition["source"] = {"hub": "us/model", "revision": sys.argv[2], **changes}
    info = outcome(prepare_model, "tiny", definition, f"weights/{name}")
    found["models"][name] = info if isinstance(info, dict) else asdict(info)
source = {"hub": "us/text", "revision": sys.argv[2], "config": "v1.{lang}", "text_column": "body"}
for name, changes in texts.items():
    documents = outcome(sample_documents, "fr", {**source, **changes}, **sampling)
    found["texts"][name] = documents if isinstance(documents, dict) else [asdict(d) for d in documents]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Two repositories, ``us/model`` and ``us/text`` (one configuration a language), and bad ones."""
    folder = tmp_path_factory.mktemp("hub")
    model = save_model(folder / "model", n_layers=2)
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    (model / "modeling_tiny.py").write_text("raise SystemExit('code of the hub was run')\n")
    pickled = Path(shutil.copytree(model, folder / "pickled"))
    (pickled / "model.safetensors").unlink()
    text = folder / "text"
    text.mkdir()
    lines = [json.dumps({"id": str(i), "body": line}) for i, line in enumerate(make_text("fr", 40))]
    (text / "fr.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    readme = "---\nconfigs:\n- config_name: v1.fr\n  data_files: fr.jsonl\n---\n"
    (text / "README.md").write_text(readme, encoding="utf-8")
    with running_hub() as server:
        server.folders |= {"us/model": model, "us/text": text, "us/pickled": pickled}
        server.refused |= {"us/gated": (403, "GatedRepo"), "us/broken": (500, "Broken")}
        yield server


@pytest.fixture(scope="module")
def outcomes(hub: Hub, tmp_path_factory):
    """What came of every case: what was made, or the message of the error."""
    folder = tmp_path_factory.mktemp("client")
    away = {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            json.dumps([MODELS, TEXTS]),
            COMMIT,
        ],
        cwd=folder,
        env={**os.environ, **away, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "none"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_model_of_the_hub_is_pinned_by_its_commit(outcomes):
    info = outcomes["models"]["good"]
    assert (info["revision"], info["origin"]) == (COMMIT, "hub us/model")
    assert (info["n_layers"], info["family"]) == (2, "llama")
    assert {path.name for path in Path(info["path"]).iterdir()} >= {"model.safetensors", "tokenizer.json"}


def test_pickles_and_code_of_the_hub_are_left_where_they_are(hub, outcomes):
    assert "error" not in outcomes["models"]["good"]
    fetched = {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}
    assert "config.json" in fetched
    assert not fetched & {"pytorch_model.bin", "modeling_tiny.py"}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "missing",
            f"hub repository us/nothing at revision {COMMIT} does not exist, or is private: check both",
        ),
        (
            "other commit",
            f"us/model at revision {OTHER_COMMIT} does not exist, or is private: check both names",
        ),
        ("gated", "is gated: accept its licence on its page, then run `hf auth login` or set HF_TOKEN"),
        ("broken", "us/broken at revision 0123456789abcdef0123456789abcdef01234567 cannot be reached"),
        ("pickled", "no *.safetensors file. Pickled weights can run code when loaded; allow_pickle: true"),
        ("wrong depth", "model_definitions.tiny.n_layers is 3, the weights in"),
    ],
)
def test_what_keeps_a_model_away_is_said_with_what_to_do(outcomes, case, message):
    assert message in outcomes["models"][case]["error"]


@pytest.mark.parametrize("case", ["good", "whole"])
def test_documents_of_the_hub_are_sampled(outcomes, case):
    documents = outcomes["texts"][case]
    assert len({document["text"] for document in documents}) == 25
    assert {document["text"] for document in documents} <= set(make_text("fr", 40))
    assert all(document["id"].startswith("us/text/v1.fr:") for document in documents)
    assert sum(document["split"] == "heldout" for document in documents) == 5


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", f"hub dataset us/nothing (v1.fr) at revision {COMMIT} does not exist or is gated: check"),
        ("other commit", f"hub dataset us/text (v1.fr) at revision {OTHER_COMMIT} "),
        ("gated", "does not exist or is gated: check the name, accept its terms on its page, set HF_TOKEN"),
        (
            "no such config",
            "us/text (v2.fr) at revision 0123456789abcdef0123456789abcdef01234567 cannot be read",
        ),
        ("no such config", "v1.fr"),
        ("no such column", "row 0: no column 'text'; there are ['body', 'id']"),
        ("no such split", "cannot be read"),
    ],
)
def test_what_keeps_documents_away_is_said_with_what_to_do(outcomes, case, message):
    assert message in outcomes["texts"][case]["error"]

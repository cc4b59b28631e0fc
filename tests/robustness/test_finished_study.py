"""A finished study is attacked file by file: nothing that was cut, changed or swapped goes on.

Tables and figures are not among the files: they are for people, and no rule reads them.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from tests.support import read_config

from babelscope.comparison.frequency import read_frequency
from babelscope.comparison.sharing import read_sharing
from babelscope.comparison.similarity import read_similarity
from babelscope.evidence.claims import read_claims
from babelscope.evidence.draws import read_frequency_intervals
from babelscope.evidence.families import read_family_tests
from babelscope.evidence.intervals import INTERVALS, read_dendrograms
from babelscope.evidence.replicates import read_replicates
from babelscope.evidence.robustness import VERDICTS
from babelscope.experts.layer_file import assemble_layers
from babelscope.experts.partition import read_partition
from babelscope.explorer.contexts import CONTEXTS, read_contexts
from babelscope.files import hdf5, record
from babelscope.files.record import read_lines, read_record, write_lines
from babelscope.files.whole import write_json
from babelscope.model.info import read_model_info
from babelscope.pruning import pruned_model
from babelscope.pruning.layer_costs import Reference, read_layer_costs
from babelscope.pruning.pruned_model import read_plan
from babelscope.pruning.tables import EXPERT_CLASSES, PRUNING, read_speed
from babelscope.recording.counts import read_activations
from babelscope.recording.neurons import read_neurons
from babelscope.recording.peaks import read_peaks
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import CORPUS, read_documents
from babelscope.text.tokens import read_tokens


class Reader:
    """Reads any file of the study as the rules do: by its place."""

    def __init__(self, study: Path) -> None:
        self.root, self.base = study / "results", study / "results" / "tiny"
        config = read_config(study)
        self.codes, self.definitions = config["languages"], config["model_definitions"]
        self.asked = {"model": "tiny", "languages": self.codes}
        self.info = read_model_info(self.base / "model.json", self.definitions)
        self.reference = Reference(self.codes, 200, "second_order_by_loss")
        self.layers = [str(self.base / "experts" / f"layer_{i:02d}.h5") for i in range(self.info.n_layers)]

    def read(self, path: Path) -> None:
        """Read the file; BabelscopeError where it is refused."""
        place = path.relative_to(self.root).parts
        said = {"model": "tiny", "language": path.stem}
        if place[0] == "corpora":
            read_documents(path, path.stem)
        elif place[1] == "variants" and place[-1] == "experts.h5":
            read_partition(path, self.info, place[2])
        elif place[1] == "variants":
            read_activations(path, **said, variant=place[2])
        elif place[1] == "experts":
            assemble_layers(self.layers, self.info)
        elif place[1] == "tokens":
            read_tokens(path, **said)
        elif place[1] == "activations":
            read_activations(path, **said)
        elif place[1] == "neurons":
            read_neurons(path, **said)
        elif place[1] == "peaks":
            read_peaks(path, **said)
        elif place[1] == "contexts":
            read_contexts(path, **said)
        elif place[1] == "pruned":
            choice = {"method": self.reference.method, "threshold": 0.05, "share": 0.6}
            list(read_plan(path, self.info, path.stem, **choice).down)
        elif place[1] == "pruning":
            read_record(path, PRUNING, **said)
        else:
            {
                "model.json": lambda: read_model_info(path, self.definitions),
                "experts.h5": lambda: read_partition(path, self.info),
                "layer_costs.h5": lambda: read_layer_costs(path, self.info, self.reference),
                "frequency.h5": lambda: read_frequency(path, "tiny", self.codes),
                "similarity.h5": lambda: read_similarity(path, "tiny", self.codes),
                "sharing.h5": lambda: read_sharing(path, "tiny", self.codes, 0.05),
                "replicates.h5": lambda: read_replicates(path, "tiny", self.codes),
                "families.h5": lambda: read_family_tests(path, "tiny", self.codes),
                "dendrograms.json": lambda: read_dendrograms(path, "tiny", self.codes),
                "frequency_intervals.h5": lambda: read_frequency_intervals(path, "tiny", self.codes),
                "claims.json": lambda: read_claims(path, "tiny", self.codes),
                "pruning_speed.json": lambda: read_speed(path, "tiny", self.codes),
                "intervals.json": lambda: read_record(path, INTERVALS, **self.asked),
                "verdicts.json": lambda: read_record(path, VERDICTS, **self.asked),
                "experts.json": lambda: read_record(path, EXPERT_CLASSES, **self.asked, threshold=0.05),
            }[path.name]()

    def files(self) -> list[Path]:
        """All files that a rule or a reader of the library reads back."""
        endings = (".h5", ".json", ".jsonl", ".safetensors")
        return sorted(path for path in self.root.rglob("*.*") if path.suffix in endings)


def changed(content: bytes) -> dict[str, bytes]:
    """A file cut, emptied, and with one bit flipped, by name of the attack."""
    cuts = {f"cut to {share:.0%}": content[: int(len(content) * share)] for share in (0.0, 0.5, 0.95)}
    flips = {}
    for share in (0.3, 0.6, 0.9):
        flips[f"bit at {share:.0%}"] = flipped(content, int(len(content) * share))
    return cuts | flips


def flipped(content: bytes, at: int) -> bytes:
    """One bit at this place is another, or before it where JSON would say the same: a number's 17th digit."""
    other = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    try:
        same = json.loads(other) == json.loads(content)
    except ValueError:
        return other
    return flipped(content, at - 1) if same else other


def of_an_older_version(path: Path) -> bytes:
    """The same file as a Babelscope before this one would have written it, with a seal that fits."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["format_version"] -= 1
        with open(path, "r+b") as file:
            seal = hdf5._seal(file)
            file.seek(0)
            file.write(seal)
    elif path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        value["format_version"] -= 1
        del value["seal"]
        write_json(path, {**value, "seal": record._digest(value)})
    elif path.suffix == ".jsonl":
        kind = CONTEXTS if path.parent.name == "contexts" else CORPUS
        said = {"language": path.stem, "model": "tiny"}
        said = {name: said[name] for name in kind.says}
        write_lines(path, replace(kind, version=kind.version - 1), read_lines(path, kind), **said)
    else:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata["format_version"] = str(int(metadata["format_version"]) - 1)
        del metadata["seal"]
        save_file(tensors, path, metadata | {"seal": pruned_model._seal(metadata)})
    return path.read_bytes()


@pytest.fixture
def reader(study, monkeypatch):
    monkeypatch.chdir(study)
    return Reader(study)


def test_every_file_is_read_as_it_is(reader):
    files = reader.files()
    for path in files:
        reader.read(path)
    assert len(files) >= 25


def test_no_damaged_file_goes_on(reader, tmp_path, record_property):
    count: Counter[str] = Counter()
    for path in reader.files():
        kept = shutil.copy2(path, tmp_path / "kept")
        try:
            attacks = changed(path.read_bytes()) | {"older version": of_an_older_version(path)}
            for attack, content in attacks.items():
                path.write_bytes(content)
                count["cases"] += 1
                with pytest.raises(BabelscopeError) as caught:
                    reader.read(path)
                assert path.name in str(caught.value), attack
                count["refused"] += 1
        finally:
            shutil.copy2(kept, path)
    record_property("attacks", dict(count))
    assert count["cases"] == count["refused"] >= 150


def test_no_file_passes_for_another_of_its_kind(reader, tmp_path, record_property):
    """Each file in the place of each other of its folder: languages, variants, layers, targets."""
    count: Counter[str] = Counter()
    groups: dict[tuple, list[Path]] = {}
    for path in reader.files():
        variants = path.parent.parent.parent / "*" if "variants" in path.parts else path.parent
        groups.setdefault((path.suffix, str(variants), path.parent.name == "activations"), []).append(path)
    for files in groups.values():
        for path in files:
            kept = shutil.copy2(path, tmp_path / "kept")
            for other in files:
                if other.read_bytes() == path.read_bytes():
                    continue
                count["cases"] += 1
                shutil.copy2(other, path)
                try:
                    with pytest.raises(BabelscopeError):
                        reader.read(path)
                finally:
                    shutil.copy2(kept, path)
                count["refused"] += 1
    record_property("swaps", dict(count))
    assert count["cases"] == count["refused"] >= 30


def test_files_of_another_configuration_are_refused(reader):
    others = {
        "sharing.h5": lambda path: read_sharing(path, "tiny", reader.codes, 0.1),
        "frequency.h5": lambda path: read_frequency(path, "tiny", ["en", "fr"]),
        "similarity.h5": lambda path: read_similarity(path, "tiny", ["hi", "en"]),
        "evidence/families.h5": lambda path: read_family_tests(path, "tiny", ["en"]),
        "evidence/experts.json": lambda path: read_record(path, EXPERT_CLASSES, threshold=0.1),
        "pruned/en.safetensors": lambda path: read_plan(path, reader.info, "en", threshold=0.1),
        "pruning/en.json": lambda path: read_record(path, PRUNING, method="most_frequent"),
    }
    for name, read in others.items():
        with pytest.raises(BabelscopeError, match=r"made with .* = .*, this run has"):
            read(reader.base / name)


def test_two_variants_of_one_language_do_not_pass_for_each_other(reader):
    for variant in ("random", "contiguous"):
        path = reader.base / "variants" / variant / "activations" / "en.h5"
        with pytest.raises(BabelscopeError, match=f"made with variant = '{variant}', this run has 'main'"):
            read_activations(path, model="tiny", language="en")


def test_weights_changed_in_place_are_refused(reader):
    weights = Path("tiny-model/model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BabelscopeError, match="are not those it is about"):
        read_model_info(reader.base / "model.json", reader.definitions)

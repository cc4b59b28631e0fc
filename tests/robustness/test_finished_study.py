"""A finished study is attacked file by file: nothing that was cut, changed or swapped goes on.

Tables and figures are not among the files: they are for people, and what still reads a table is named in
docs/robustness.md.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.support import read_config

from babelscope.comparison.frequency import read_frequency
from babelscope.comparison.sharing import read_sharing
from babelscope.comparison.similarity import read_similarity
from babelscope.evidence.families import read_family_tests
from babelscope.evidence.intervals import read_dendrograms
from babelscope.evidence.replicates import read_replicates
from babelscope.experts.layer_file import assemble_layers
from babelscope.experts.partition import read_partition
from babelscope.files.hdf5 import read_h5
from babelscope.files.record import read_record
from babelscope.model.info import read_model_info
from babelscope.pruning.pruned_model import read_plan
from babelscope.pruning.tables import PRUNING
from babelscope.recording.counts import read_activations
from babelscope.recording.neurons import read_neurons
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import read_documents
from babelscope.text.tokens import read_tokens


class Reader:
    """Reads any file of the study as the rules do: by its place."""

    def __init__(self, study: Path) -> None:
        self.root, self.base = study / "results", study / "results" / "tiny"
        config = read_config(study)
        self.codes, self.definitions = config["languages"], config["model_definitions"]
        self.info = read_model_info(self.base / "model.json", self.definitions)
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
        elif place[1] == "pruned":
            list(read_plan(path, self.info, path.stem).down)
        elif place[1] == "pruning":
            read_record(path, PRUNING, **said)
        else:
            {
                "model.json": lambda: read_model_info(path, self.definitions),
                "experts.h5": lambda: read_partition(path, self.info),
                "frequency.h5": lambda: read_frequency(path, "tiny"),
                "similarity.h5": lambda: read_similarity(path, "tiny"),
                "sharing.h5": lambda: read_sharing(path, "tiny"),
                "replicates.h5": lambda: read_replicates(path, "tiny", self.codes),
                "families.h5": lambda: read_family_tests(path, "tiny"),
                "dendrograms.json": lambda: read_dendrograms(path, "tiny", self.codes),
                "frequency_intervals.h5": lambda: self._intervals(path),
            }[path.name]()

    def _intervals(self, path: Path) -> None:
        from babelscope.evidence.draws import FREQUENCY_INTERVALS

        read_h5(path, FREQUENCY_INTERVALS, model="tiny")

    def files(self) -> list[Path]:
        """All files that a rule or a reader of the library reads back."""
        endings = (".h5", ".json", ".jsonl", ".safetensors")
        return sorted(path for path in self.root.rglob("*.*") if path.suffix in endings)


def changed(content: bytes) -> dict[str, bytes]:
    """A file cut, emptied, and with one bit flipped, by name of the attack."""
    cuts = {f"cut to {share:.0%}": content[: int(len(content) * share)] for share in (0.0, 0.5, 0.95)}
    flips = {}
    for share in (0.3, 0.6, 0.9):
        at = int(len(content) * share)
        flips[f"bit at {share:.0%}"] = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    return cuts | flips


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
            for attack, content in changed(path.read_bytes()).items():
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

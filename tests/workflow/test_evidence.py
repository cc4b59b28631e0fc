"""The evidence of a whole study: its tables, its page, and the sweep that `full` adds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from tests.support import ROOT, change_config, make_study, planned_jobs, run_snakemake

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.families import FAMILY_COLUMNS, read_family_tests
from babelscope.evidence.replicates import corrected_distances, read_replicates
from babelscope.evidence.robustness import MainStudy
from babelscope.files.tables import format_table
from babelscope.study.languages import read_languages

CRITERIA = read_criteria(ROOT / "resources" / "claims.yaml")


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_claim_of_the_paper_has_a_verdict(finished_study):
    rows = read_csv(finished_study / "results" / "tiny" / "claims.csv")
    assert list(rows[0]) == [
        "id",
        "claim",
        "statistic",
        "value",
        "low",
        "high",
        "paper_value",
        "verdict",
        "pooled",
        "pooled_verdict",
        "beyond",
        "beyond_low",
        "beyond_high",
        "depends_on",
    ]
    judged = {row["id"].partition(":")[0] for row in rows}
    assert judged == {name for name, one in CRITERIA.items() if one.section != "frontier"}
    verdicts = {"holds", "does not hold", "depends", "undecided", "not tested"}
    assert {row["verdict"] for row in rows} <= verdicts
    for row in rows:
        if row["low"]:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"]), row
    page = (finished_study / "results" / "tiny" / "claims.html").read_text(encoding="utf-8")
    assert page.count("<figure id=") == 6 and "$" not in page.split("<h2>Figures</h2>")[0]


def test_tables_of_claims_families_and_distances_say_what_their_files_hold(finished_study):
    folder = finished_study / "results" / "tiny"
    main = MainStudy(
        read_replicates(folder / "evidence" / "replicates.h5", "tiny", ["en", "hi"]),
        read_family_tests(folder / "evidence" / "families.h5", "tiny", ["en", "hi"]),
    )
    paper = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
    of_recordings = main.main_rows(CRITERIA, paper)
    written = format_table(of_recordings, CLAIM_COLUMNS).splitlines()[1:]
    text = (folder / "claims.csv").read_text(encoding="utf-8").splitlines()
    assert set(written) <= set(text)
    assert (folder / "evidence" / "recording_claims.csv").read_text(encoding="utf-8").splitlines()[
        1:
    ] == written
    families = (folder / "evidence" / "families.csv").read_text(encoding="utf-8")
    assert families == format_table(main.tests, FAMILY_COLUMNS)
    pairs = read_csv(folder / "evidence" / "similarity_intervals.csv")
    for measure, distance in corrected_distances(main.replicates).items():
        row = next(row for row in pairs if row["measure"] == measure)
        assert row["corrected"] == f"{distance[0, 1]:.6g}"


def test_intervals_and_floor_of_two_languages(finished_study):
    evidence = finished_study / "results" / "tiny" / "evidence"
    pairs = read_csv(evidence / "similarity_intervals.csv")
    assert [(row["measure"], row["language_a"], row["language_b"]) for row in pairs] == [
        (measure, "en", "hi") for measure in ("euclidean", "kl", "pearson")
    ]
    similarity = read_csv(finished_study / "results" / "tiny" / "similarity_euclidean.csv")
    assert float(pairs[0]["value"]) == pytest.approx(float(similarity[0]["hi"]), rel=1e-4)
    with h5py.File(evidence / "frequency_intervals.h5") as file:
        low, high = file["low"][:], file["high"][:]
    with h5py.File(finished_study / "results" / "tiny" / "frequency.h5") as file:
        frequency = file["frequency"][:]
    assert (low <= frequency + 1e-12).all() and (frequency <= high + 1e-12).all()
    sharing = [int(row["n_experts"]) for row in read_csv(evidence / "sharing_intervals.csv")]
    plain = read_csv(finished_study / "results" / "tiny" / "sharing.csv")
    assert sharing == [int(row["n_experts"]) for row in plain]
    assert {row["class"] for row in read_csv(evidence / "experts.csv")} <= {
        "shared", "mixed", "family-specific", "specific", "low", "dead",
    }  # fmt: skip


def test_a_sweep_records_all_its_points_in_one_pass_and_nothing_else(study):
    change_config(
        study, {"evidence": {"sweep": {"top_fractions": [0.5], "n_experts": [4, 8], "scores": ["absolute"]}}}
    )
    target = "results/tiny/figures/evidence_sweep.png"
    jobs = planned_jobs(study, target)
    assert {rule for rule, _ in jobs} == {
        "make_control_partition", "record_sweep", "judge_sweep", "plot_sweep",
    }  # fmt: skip
    assert sum(rule == "record_sweep" for rule, _ in jobs) == 2
    run_snakemake(study, target, check=True)
    variants = study / "results" / "tiny" / "variants"
    n_tokens = {}
    for name, n_experts, top_k in (("top_50", 8, 8), ("experts_4", 4, 2), ("score_absolute", 8, 4)):
        with h5py.File(variants / name / "activations" / "hi.h5") as file:
            assert file["n_active"].shape[1:] == (2, n_experts)
            assert file.attrs["variant"] == name and file.attrs["top_k"] == top_k
            n_tokens[name] = file["n_tokens"][:]
            assert file["n_active"][:].sum() == top_k * n_tokens[name].sum()
    with h5py.File(study / "results" / "tiny" / "activations" / "hi.h5") as file:
        for recorded in n_tokens.values():
            np.testing.assert_array_equal(recorded, file["n_tokens"][:])
    rows = read_csv(study / "results" / "tiny" / "evidence" / "sweep.csv")
    assert {row["variant"] for row in rows} == {
        "top_50",
        "top_50, threshold 0.1",
        "experts_4",
        "score_absolute",
    }


def test_recordings_alone_make_the_evidence_in_another_folder(tmp_path):
    study = make_study(tmp_path / "study")
    jobs = planned_jobs(study, "evidence", "--directory", "elsewhere")
    rules = {rule for rule, _ in jobs}
    assert {"bootstrap_languages", "relate_families", "index_experts", "judge_recordings"} <= rules
    assert not {rule for rule in rules if "prun" in rule or "compensate" in rule}


def test_the_study_of_families_has_twenty_languages_of_six_families():
    codes = yaml.safe_load((ROOT / "config" / "families.yaml").read_text(encoding="utf-8"))["languages"]
    known = read_languages(ROOT / "resources" / "languages.tsv")
    assert len(set(codes)) == len(codes) >= 20
    assert len({known[code].family for code in codes}) >= 6

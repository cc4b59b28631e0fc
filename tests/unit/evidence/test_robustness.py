"""Other choices and controls: what stays, what flips; agreement of models and partitions."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import procrustes
from scipy.stats import spearmanr
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.claims import ClaimRow, paper_table_3, read_criteria, write_claims
from babelscope.evidence.draws import Pooled, draw, shuffle_languages
from babelscope.evidence.families import (
    read_family_predictors,
    read_family_tests,
    relate_to_families,
    write_family_tests,
)
from babelscope.evidence.models import compare_all, compare_models, read_models, side_by_side, write_models
from babelscope.evidence.predictors import differs, genealogical_distance
from babelscope.evidence.replicates import (
    corrected_distances,
    distance_estimate,
    over_partitions,
    read_replicates,
    replicate_claims,
    study_settings,
    write_replicates,
)
from babelscope.evidence.robustness import (
    Judges,
    MainStudy,
    compare_variants,
    judge_study,
)
from babelscope.evidence.sweep import SweepPoint, judge_sweep
from babelscope.statistics.maps import scale_to_map
from babelscope.study.errors import BabelscopeError

ROOT = Path(__file__).resolve().parents[3]
PAPER = json.loads((ROOT / "resources" / "paper.json").read_text("utf-8"))
PREDICTORS = {
    "genealogy": genealogical_distance(PAPER_LANGUAGES),
    "script": differs(PAPER_LANGUAGES, "script"),
}
CRITERIA = read_criteria(ROOT / "resources" / "claims.yaml")
JUDGES = Judges(PAPER_LANGUAGES, PREDICTORS, CRITERIA, PAPER, 100, 0)
GENUS = "families.genus"
NEAR = "families.between_within"


def spread(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def row(statistic, verdict):
    return ClaimRow(statistic, "claim", statistic, 1.0, 0.5, 1.5, None, verdict)


@pytest.fixture(scope="module")
def with_families():
    rng = np.random.default_rng(0)
    return draw_counts(rng, draw_truth(rng, GENERA, family=0.8), n_blocks=12)


@pytest.fixture(scope="module")
def main_study(with_families):
    settings = study_settings(0.05, [0.1])
    draws = draw(with_families, CODES, 100, 0)
    replicates = replicate_claims(draws, PAPER_LANGUAGES, settings, paper_table_3(PAPER))
    pooled = Pooled(0.25, 0.2, 0.3, 0.5, 0.4, 0.6)
    replicates.pooled.update(dict.fromkeys(replicates.values, pooled))
    tests = relate_to_families(corrected_distances(replicates), PAPER_LANGUAGES, PREDICTORS, 0)
    return MainStudy(replicates, tests)


@pytest.fixture(scope="module")
def verdicts(with_families, main_study):
    rng = np.random.default_rng(1)
    control = draw_counts(rng, draw_truth(rng, GENERA), n_blocks=12)
    controls = {"random": control}
    return judge_study(main_study, with_families, controls, JUDGES, threshold=0.05, other_thresholds=[0.1])


def test_families_hold_in_the_study_and_not_in_controls(verdicts):
    main = {one.id: one.verdict for one in verdicts.main}
    found = {(one.variant, one.id): one for one in verdicts.robustness}
    assert main[GENUS] == main[NEAR] == "holds"
    assert main["families.genealogy"] in ("depends", "holds")
    for name in ("random", "all blocks pooled and dealt out"):
        assert found[name, GENUS].verdict == "undecided" and found[name, GENUS].change == "loses"
        assert found[name, NEAR].verdict != "holds"
    for name in ("threshold 0.1", "KL", "Pearson"):
        assert found[name, NEAR].change == "same"


def test_another_threshold_changes_what_counts_experts_alone(verdicts):
    found = {(one.variant, one.id): one.value for one in verdicts.robustness}
    main = {one.id: one.value for one in verdicts.main}
    none = "sharing.share_none"
    assert found["threshold 0.1", none] > main[none]
    assert found["threshold 0.1", NEAR] == main[NEAR]


def test_agreement_compares_every_control_by_every_measure(verdicts):
    assert [(one.model_b, one.measure) for one in verdicts.agreement] == [
        ("random", measure) for measure in ("euclidean", "kl", "pearson")
    ]


def test_shuffling_deals_out_every_block_once(with_families):
    shuffled = shuffle_languages(with_families, 0)
    assert [len(one.n_tokens) for one in shuffled] == [12] * 9
    before, after = (np.concatenate([one.n_tokens for one in part]) for part in (with_families, shuffled))
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
    assert sum(one.n_active.sum() for one in shuffled) == sum(one.n_active.sum() for one in with_families)
    assert any((a.n_tokens != b.n_tokens).any() for a, b in zip(shuffled, with_families, strict=True))


def test_changes_of_verdicts_have_names():
    main = [row(*one) for one in zip("abcd", ("holds", "holds", "undecided", "holds"), strict=True)]
    # rows are found by their ids, in any order
    main_order = main[::-1]
    other = [row(*one) for one in zip("abcd", ("does not hold", "undecided", "holds", "holds"), strict=True)]
    assert [one.change for one in compare_variants(main_order, {"v": other})] == [
        "flips",
        "loses",
        "gains",
        "same",
    ]


def test_a_point_of_the_sweep_with_another_share_is_judged_at_two_thresholds(
    with_families, main_study, verdicts
):
    points = {"experts_64": SweepPoint(with_families), "top_20": SweepPoint(with_families, 2.0)}
    rows, agreement = judge_sweep(points, main_study, JUDGES, 0.05)
    names = list(dict.fromkeys(one.variant for one in rows))
    assert names == ["experts_64", "top_20", "top_20, threshold 0.1"]
    assert {one.change for one in rows if one.variant == "experts_64"} == {"same"}
    scaled = [one.value for one in rows if one.variant == "top_20, threshold 0.1"]
    asked = [one.value for one in verdicts.robustness if one.variant == "threshold 0.1"]
    np.testing.assert_allclose(scaled[:-2], asked[:-2])
    assert len(agreement) == 6


def test_models_that_turn_the_map_agree_and_those_that_do_not_disagree():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(9, 2)) * [3, 1]
    angle = np.array([[0, -1], [1, 0]])
    same = compare_models("a", "b", "kl", spread(points), 5 * spread(points @ angle + 7), 0)
    assert same.procrustes == pytest.approx(1) and same.spearman == pytest.approx(1)
    assert same.procrustes_p < 0.01 and same.mantel_p < 0.001
    other = spread(rng.normal(size=(9, 2)))
    found = compare_models("a", "b", "kl", spread(points), other, 0)
    pairs = np.triu_indices(9, 1)
    assert found.spearman == pytest.approx(spearmanr(spread(points)[pairs], other[pairs]).statistic)
    disparity = procrustes(scale_to_map(spread(points)), scale_to_map(other))[2]
    assert found.procrustes == pytest.approx(1 - disparity)
    assert found.mantel_p > 0.05


def test_classical_scaling_gives_a_planes_points_back():
    points = np.random.default_rng(3).normal(size=(6, 2))
    np.testing.assert_allclose(spread(scale_to_map(spread(points))), spread(points), atol=1e-9)


def test_three_languages_are_too_few_for_a_comparison_of_maps():
    with pytest.raises(BabelscopeError, match="share 3 languages"):
        compare_models("a", "b", "kl", np.ones((3, 3)), np.ones((3, 3)), 0)


def test_tables_of_models_stand_side_by_side():
    first = ClaimRow("c.s", "c", "s", 1.0, 0.0, 2.0, 0.5, "holds")
    second = replace(first, id="c.t", statistic="t", verdict="undecided")
    rows, columns = side_by_side({"a": [first], "b": [second]})
    assert columns[4:8] == ["a", "a_low", "a_high", "a_verdict"]
    assert [(one["a_verdict"], one["b_verdict"]) for one in rows] == [("holds", None), (None, "undecided")]
    assert rows[1]["paper_value"] == 0.5


def test_two_models_are_read_compared_and_written(main_study, tmp_path):
    paths, claims = {}, main_study.main_rows(CRITERIA, PAPER)
    for model in ("a", "b"):
        out = SimpleNamespace(table=tmp_path / f"{model}.csv", record=tmp_path / f"{model}.json")
        write_claims(out, claims, model, CODES)
        write_replicates(tmp_path / f"{model}.h5", main_study.replicates, CODES, model)
        paths |= {f"{model} claims": out.record, f"{model} replicates": tmp_path / f"{model}.h5"}
    distances, found = read_models(paths, ["a", "b"], CODES)
    assert found == {"a": claims, "b": claims}
    out = SimpleNamespace(agreement=tmp_path / "agreement.csv", claims=tmp_path / "claims.csv")
    write_models(out, compare_all(distances, 0), found)
    assert len(out.claims.read_text(encoding="utf-8").splitlines()) == 1 + len(claims)
    with pytest.raises(BabelscopeError, match="made with model = 'a', this run has 'b'"):
        read_models(paths | {"b claims": paths["a claims"]}, ["a", "b"], CODES)


def test_codes_are_those_of_the_paper():
    assert list(PAPER["languages"]) == CODES


def test_claims_and_families_have_one_p_value_for_one_test_and_one_distance(with_families, main_study):
    own = {row.id: row.value for row in main_study.main_rows(CRITERIA, PAPER)}
    tests = {
        (test.test, test.predictor, test.controls + test.within): test.p_value
        for test in main_study.tests
        if test.measure == "euclidean"
    }
    assert own[GENUS] == tests["groups", "genus", ""]
    assert own["families.genealogy"] == tests["partial_mantel", "genealogy", "script"]
    # a variant with the same recordings finds the same, to the last digit
    again = JUDGES.judge(with_families, study_settings(0.05, [0.1]))
    for measure, distance in corrected_distances(main_study.replicates).items():
        np.testing.assert_array_equal(again.distances[measure], distance)
    for name, setting in study_settings(0.05, [0.1]).items():
        assert again.rows[name] == main_study.rows(CRITERIA, PAPER, name, setting)


def test_a_verdict_that_one_measure_or_one_language_decides_depends(main_study):
    tests = [
        replace(test, p_value=0.01, p_high=0.01, p_partition=0.01, without="hi") for test in main_study.tests
    ]

    def verdict(**changes):
        measure = changes.pop("measure", "euclidean")
        changed = [
            replace(test, **changes) if (test.measure, test.predictor) == (measure, "genealogy") else test
            for test in tests
        ]
        rows = MainStudy(main_study.replicates, changed).main_rows(CRITERIA, PAPER)
        found = next(row for row in rows if row.id == "families.genealogy")
        return found.verdict, found.depends_on

    assert verdict() == ("holds", "")
    assert verdict(measure="kl", p_value=0.09) == ("depends", "KL: undecided (p = 0.09)")
    assert verdict(p_high=0.3) == ("depends", "euclidean without hi: undecided (p = 0.3)")
    assert verdict(measure="kl", p_high=0.051) == ("depends", "kl without hi: undecided (p = 0.051)")
    assert verdict(p_partition=0.07) == ("depends", "euclidean, a single partition: undecided (p = 0.07)")


def test_partitions_widen_the_interval_and_are_averaged(with_families, main_study):
    settings = study_settings(0.05, [0.1])
    rng = np.random.default_rng(4)
    others = draw_counts(rng, draw_truth(rng, GENERA, family=0.8), n_blocks=12)
    parts = {
        name: replicate_claims(draw(counts, CODES, 100, 0), PAPER_LANGUAGES, settings)
        for name, counts in (("main", with_families), ("seed_1", others))
    }
    both = over_partitions(parts)
    found = {name: part.estimate("main/between_within") for name, part in {**parts, "both": both}.items()}
    mean = (found["main"].corrected + found["seed_1"].corrected) / 2
    assert found["both"].corrected == pytest.approx(mean)
    half = abs(found["main"].corrected - found["seed_1"].corrected) / 2 * stats.t.ppf(0.975, 1)
    assert found["both"].high - mean > half
    assert set(both.partitions["kl"]) == {"main", "seed_1"}
    pair = distance_estimate(both, "euclidean")
    apart = np.triu_indices(9, 1)
    assert (pair.low[apart] <= pair.corrected[apart]).all() and (
        pair.corrected[apart] <= pair.high[apart]
    ).all()


def test_what_is_written_is_what_is_read(main_study, tmp_path):
    write_replicates(tmp_path / "replicates.h5", main_study.replicates, CODES, "tiny")
    write_family_tests(tmp_path / "families.h5", main_study.tests, PREDICTORS, CODES, "tiny")
    again = read_family_tests(tmp_path / "families.h5", "tiny", CODES)
    assert again == main_study.tests
    assert again[-1].p_high >= again[-1].p_value
    for name, matrix in read_family_predictors(tmp_path / "families.h5", "tiny", CODES).items():
        np.testing.assert_array_equal(matrix, PREDICTORS[name])
    found = MainStudy(read_replicates(tmp_path / "replicates.h5", "tiny", CODES), main_study.tests)
    assert found.main_rows(CRITERIA, PAPER) == main_study.main_rows(CRITERIA, PAPER)
    before, after = (corrected_distances(one.replicates) for one in (main_study, found))
    for measure, distance in before.items():
        np.testing.assert_array_equal(after[measure], distance)
    with pytest.raises(BabelscopeError, match=r"languages = \['en', 'fr'.*this run has \['fr', 'en'"):
        read_replicates(tmp_path / "replicates.h5", "tiny", ["fr", "en", *CODES[2:]])

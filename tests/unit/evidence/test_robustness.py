"""Other choices and controls: what stays, what flips; agreement of models and partitions."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.stats import spearmanr
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.claims import TESTS, ClaimRow
from babelscope.evidence.families import genealogical_distance, script_distance
from babelscope.evidence.models import compare_models, scale_to_map, side_by_side
from babelscope.evidence.robustness import compare_variants, judge_study, shuffle_languages
from babelscope.evidence.sweep import SweepPoint, judge_sweep
from babelscope.study.errors import BabelscopeError

PAPER = json.loads((Path(__file__).resolve().parents[3] / "resources" / "paper.json").read_text("utf-8"))
PREDICTORS = {"genealogy": genealogical_distance(PAPER_LANGUAGES), "script": script_distance(PAPER_LANGUAGES)}
GENUS = TESTS[0][2]
NEAR = "mean distance between Romance and Indic over that within them"


def spread(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def row(statistic, verdict):
    return ClaimRow("claim", statistic, 1.0, 0.5, 1.5, None, verdict)


@pytest.fixture(scope="module")
def with_families():
    rng = np.random.default_rng(0)
    return draw_counts(rng, draw_truth(rng, GENERA, family=0.8), n_blocks=12)


@pytest.fixture(scope="module")
def verdicts(with_families):
    rng = np.random.default_rng(1)
    control = draw_counts(rng, draw_truth(rng, GENERA), n_blocks=12)
    settings = {"threshold": 0.05, "other_thresholds": [0.1], "n_replicates": 100, "seed": 0}
    job = (with_families, {"random": control}, PAPER_LANGUAGES, PREDICTORS, PAPER)
    return judge_study(*job, **settings)


def test_families_hold_in_the_study_and_not_in_controls(verdicts):
    main = {one.statistic: one.verdict for one in verdicts.main}
    found = {(one.variant, one.statistic): one for one in verdicts.robustness}
    assert main[GENUS] == main[NEAR] == "holds"
    for name in ("random", "shuffled languages"):
        assert found[name, GENUS].verdict == "undecided" and found[name, GENUS].change == "loses"
        assert found[name, NEAR].verdict != "holds"
    for name in ("threshold 0.1", "KL", "Pearson"):
        assert found[name, NEAR].change == "same"


def test_another_threshold_changes_what_counts_experts_alone(verdicts):
    found = {(one.variant, one.statistic): one.value for one in verdicts.robustness}
    main = {one.statistic: one.value for one in verdicts.main}
    none = "share of experts high-frequency in no language"
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
    main = [row("s", verdict) for verdict in ("holds", "holds", "undecided", "holds")]
    other = [row("s", verdict) for verdict in ("does not hold", "undecided", "holds", "holds")]
    assert [one.change for one in compare_variants(main, {"v": other})] == ["flips", "loses", "gains", "same"]


def test_a_point_of_the_sweep_with_another_share_is_judged_at_two_thresholds(with_families, verdicts):
    distances = {
        measure: 1.0 - np.eye(9) + 0.1 * PREDICTORS["genealogy"] for measure in ("euclidean", "kl", "pearson")
    }
    points = {"experts_64": SweepPoint(with_families), "top_20": SweepPoint(with_families, 2.0)}
    rows, agreement = judge_sweep(
        points, verdicts.main, distances, PAPER_LANGUAGES, PREDICTORS, PAPER,
        threshold=0.05, n_replicates=100, seed=0,
    )  # fmt: skip
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
    claim = {"claim": "c", "statistic": "s", "paper_value": "0.5", "value": "1", "low": "0", "high": "2"}
    tables = {
        "a": [{**claim, "verdict": "holds"}],
        "b": [{**claim, "statistic": "t", "verdict": "undecided"}],
    }
    rows, columns = side_by_side(tables)
    assert columns[3:7] == ["a", "a_low", "a_high", "a_verdict"]
    assert [(one["a_verdict"], one["b_verdict"]) for one in rows] == [("holds", ""), ("", "undecided")]
    assert rows[1]["paper_value"] == "0.5"


def test_codes_are_those_of_the_paper():
    assert list(PAPER["languages"]) == CODES

"""Claims: which region decides, verdicts of intervals, layers at the same depth, loss and speed, the page."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated_counts import CODES, PAPER_LANGUAGES

from babelscope.comparison.measures import as_distances, compare_layers, total_measures
from babelscope.evidence.claim_statistics import (
    Roles,
    Setting,
    _same_signs,
    claim_counts,
    claim_statistics,
    find_roles,
    map_layers,
)
from babelscope.evidence.claims import (
    ClaimRow,
    criterion_of,
    judge,
    judge_recordings,
    overall_verdict,
    paper_table_3,
    paper_values,
    read_claims,
    read_criteria,
    write_claims,
)
from babelscope.evidence.layers import gini
from babelscope.evidence.page import claims_page
from babelscope.evidence.pruning_claims import join_claims, judge_frontier, judge_speed, nll_difference
from babelscope.statistics.bootstrap import Estimate
from babelscope.study.errors import BabelscopeError

ROOT = Path(__file__).resolve().parents[3]
PAPER = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
TEMPLATE = (ROOT / "resources/templates/claims.html").read_text(encoding="utf-8")
CRITERIA = read_criteria(ROOT / "resources" / "claims.yaml")
CLAIMS = list(dict.fromkeys(row.claim for row in CRITERIA.values()))
MAIN = {"main": Setting("euclidean", 0.05)}


def result(language, dense, pruned, compensated, random=(20.0, 21.0), kept=0.7):
    """One language's result of pruning: losses of documents of ten tokens."""
    n = np.full(len(dense), 10)
    documents = {"dense": dense, "pruned": pruned, "compensated": compensated}
    documents |= {f"random_{number}": [loss] * len(dense) for number, loss in enumerate(random)}
    sums = {name: (np.array(losses) * 10).tolist() for name, losses in documents.items()}
    return {
        "language": language,
        "parameters_kept": 1 - (1 - kept) / 2,
        "ffn_parameters_kept": kept,
        "documents": sums | {"n_predicted": n.tolist()},
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.41, 0.59, "holds"),
        (0.3, 0.39, "does not hold"),
        (0.61, 0.7, "does not hold"),
        (0.39, 0.5, "undecided"),
        (0.3, 0.7, "undecided"),
        (math.nan, 0.5, "undecided"),
    ],
)
def test_an_interval_decides_where_it_lies_on_one_side(low, high, verdict):
    assert judge(low, high, 0.4, 0.6) == verdict


def test_a_large_p_value_refutes_nothing():
    criterion = CRITERIA["families.genus"]
    assert [criterion.row(p).verdict for p in (0.05, 0.051, 1.0, None)] == ["holds", *["undecided"] * 3]


def test_one_statistic_that_fails_fails_its_claim():
    def rows(*verdicts):
        return [ClaimRow("c.s", "claim", "statistic", 0.0, 0.0, 0.0, None, verdict) for verdict in verdicts]

    assert overall_verdict(rows("holds", "holds")) == "holds"
    assert overall_verdict(rows("holds", "undecided")) == "undecided"
    assert overall_verdict(rows("undecided", "does not hold", "holds")) == "does not hold"
    assert overall_verdict(rows("depends", "undecided", "holds")) == "depends"
    assert overall_verdict(rows("depends", "does not hold", "holds")) == "does not hold"


def test_layers_lie_at_the_same_depth():
    np.testing.assert_array_equal(map_layers(0, 25, 32), np.arange(26))
    # Of 18 layers the last with its middle above 26/32 of the depth is the first of the late ones.
    np.testing.assert_array_equal(map_layers(26, 31, 18), [15, 16, 17])
    np.testing.assert_array_equal(map_layers(0, 1, 18), [0])
    assert len(map_layers(0, 1, 2)) == 1


def test_paper_values_are_those_of_its_tables():
    printed = paper_values(PAPER)
    assert printed["share_all"] == pytest.approx(4361 / 8192)
    assert printed["share_none"] == pytest.approx(1038 / 8192)
    assert printed["rise_ur"] == pytest.approx(0.79)
    assert printed["rise_mean"] == pytest.approx(0.398)
    assert printed["ffn_saved"] == pytest.approx(1 - 0.73411, abs=1e-4)
    assert paper_table_3(PAPER).sum() == pytest.approx(1)


def test_roles_follow_genus_and_code():
    assert find_roles(PAPER_LANGUAGES) == Roles([1, 2, 3], [4, 5, 6], [0], [7], [8])


def test_contrasts_of_distances_by_hand():
    # Two experts; the distance of two languages is the difference on the first, times the root of two.
    place = {"en": 2, "fr": 1, "es": 0, "pt": 1, "bn": 8, "ur": 9, "hi": 8, "ar": 6, "zh": 3}
    x = np.array([place[code] for code in CODES]) / 20
    frequency = np.stack([x, 0.5 - x], axis=-1)[None, :, None, :]
    roles = find_roles(PAPER_LANGUAGES)
    distances = as_distances(total_measures(compare_layers(frequency, np.full((1, 9), 1000))))
    found = claim_statistics(gini(frequency), np.zeros((1, 1)), distances, roles, MAIN)
    pairs = np.triu_indices(9, 1)
    scale = np.abs(np.subtract.outer(x, x))[pairs].mean() * 20
    within = (2 / 3, 2 / 3)
    across = np.mean([abs(a - b) for a in (1, 0, 1) for b in (8, 9, 8)])
    assert found["main/between_within"][0] == pytest.approx(across / np.mean(within))
    # English is 4/3 from Romance; the next is Chinese at 1, nearer than Romance
    assert found["main/english_romance"][0] == pytest.approx((1 - 4 / 3) / scale)
    assert found["main/english_distinct"][0] == pytest.approx((4 / 3 - 2 / 3) / scale)
    assert found["main/arabic_indic"][0] == pytest.approx((16 / 3 - 7 / 3) / scale)
    assert found["main/chinese_romance"][0] == pytest.approx((16 / 3 - 7 / 3) / scale)


def test_measures_agree_by_the_smallest_margin_and_disagree_by_the_largest_move():
    def contrasts(*values):
        names = ("between_within", "arabic_indic")
        return {
            m: dict(zip(names, map(np.atleast_1d, v), strict=True))
            for m, v in zip("abc", values, strict=True)
        }

    # more than one between over within, Arabic below zero in all three: the smallest margin is Arabic's
    assert _same_signs(contrasts((1.5, -0.2), (1.4, -0.1), (1.3, -0.4)))[0] == pytest.approx(0.1)
    # two measures put Arabic on the other side: to agree, one of them would have to move by 0.3
    assert _same_signs(contrasts((1.5, -0.3), (1.4, 0.5), (1.3, 0.6)))[0] == pytest.approx(-0.3)
    assert _same_signs({"a": {}, "b": {}}) is None


def test_counts_by_hand():
    # 32 layers of two experts: the first is shared by both languages in layers 2 to 25, the second by none.
    frequency = np.zeros((1, 2, 32, 2))
    frequency[:, :, 2:26, 0] = 0.1
    found = claim_counts(frequency, MAIN)
    # all text together uses the first expert of the same layers, and every language keeps it there
    assert found["main/kept_middle_over_first"] == found["main/kept_middle_over_last"] == 1
    assert found["main/low_late"] == 1
    assert found["main/share_all"] == pytest.approx(24 / 64)
    assert found["main/share_none"] == pytest.approx(40 / 64)
    assert found["main/ffn_saved"] == pytest.approx(40 / 64)
    shares = np.array([0.5, 0.1, 0.4])
    distance = claim_counts(frequency, MAIN, shares)["main/table_3_distance"]
    assert distance == pytest.approx((0.125 + 0.1 + 0.025) / 2)


def test_every_claim_about_recordings_has_its_rows():
    estimates = {
        c.name: Estimate(*(np.array(x) for x in (0.5, 0.5, 0.45, 0.55)))
        for c in CRITERIA.values()
        if not c.id.startswith("neighbours.")
    }
    rows = judge_recordings(CRITERIA, estimates, {"genus": 0.01}, PAPER)
    assert list(dict.fromkeys(row.claim for row in rows)) == CLAIMS[:7]
    verdicts = {row.id: row.verdict for row in rows}
    assert verdicts["sharing.share_all"] == "holds"
    assert verdicts["families.genus"] == "holds" and verdicts["families.genealogy"] == "undecided"
    assert {row.verdict for row in rows if row.id.startswith("neighbours.")} == {"undecided"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("direction: at most", "direction: around", "families.genus has direction 'around'"),
        ("criterion: 1.1", "criterion: [1, 2]", "families.between_within.*between.*two numbers"),
        ("id: low_late", "id: gini_rise", "layers.gini_rise is there twice"),
    ],
)
def test_a_wrong_criterion_is_named(tmp_path, old, new, message):
    text = (ROOT / "resources" / "claims.yaml").read_text(encoding="utf-8")
    (tmp_path / "claims.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BabelscopeError, match=message):
        read_criteria(tmp_path / "claims.yaml")


def test_difference_of_losses_is_the_paired_test_for_documents_of_one_length():
    rng = np.random.default_rng(0)
    dense = rng.normal(4, 1, 30)
    pruned = dense + rng.normal(0.5, 0.2, 30)
    documents = result("en", dense, pruned, dense)["documents"]
    mean, error = nll_difference(documents, "pruned", "dense")
    assert mean == pytest.approx((pruned - dense).mean())
    assert error == pytest.approx(stats.sem(pruned - dense))
    assert nll_difference({k: v[:1] for k, v in documents.items()}, "pruned", "dense")[1] == math.inf


def test_rises_of_loss_are_judged_by_the_papers_largest():
    dense = [4.0, 4.2, 3.9, 4.1]
    results = [
        result("en", dense, [x + 0.3 + 0.01 * k for k, x in enumerate(dense)], dense, kept=0.75),
        result("ur", dense, [x + 5 + 0.01 * k for k, x in enumerate(dense)], dense, kept=0.65),
    ]
    ratios = {"en": 1.2, "ur": 1.3, "hi": 1.25}
    speed = [
        {"language": code, "phase": "decode", "ratio": ratio, "noisy": False}
        for code, ratio in ratios.items()
    ]
    rows = {row.id: row for row in join_claims(CRITERIA, [], results, speed, PAPER)}
    assert rows["loss.rise:en"].verdict == "holds"
    assert rows["loss.rise:en"].paper_value == pytest.approx(0.4)
    assert rows["loss.rise:ur"].verdict == "does not hold"
    assert rows["loss.smallest_rise:en"].verdict == "holds"
    assert rows["saved.all_saved"].value == pytest.approx(0.15)
    faster = rows["speed.decode"]
    assert faster.value == pytest.approx((1.2 * 1.3 * 1.25) ** (1 / 3)) and faster.verdict == "holds"
    unmeasured = rows["speed.prefill"]
    assert (unmeasured.value, unmeasured.verdict) == (None, "undecided")
    against_random = rows["random.random_loss"]
    assert against_random.value == pytest.approx(20.5 - np.mean([4.365, 9.065]))
    assert against_random.statistic.endswith("over languages and draws")
    compensated = rows["random.random_compensated_loss"]
    assert compensated.value is None and "compensated_draws is 0" in compensated.statistic


def test_the_interval_of_a_plain_loss_is_over_documents_and_partitions():
    dense = [4.0, 4.2, 3.9, 4.1]
    alone = [result(code, dense, [x + 5 for x in dense], dense) for code in ("en", "ur")]
    several = [result(code, dense, [x + 5 for x in dense], dense) for code in ("en", "ur")]
    for row, moves in zip(several, ((0.6, -0.9), (1.2, 0.3)), strict=True):
        for name, move in zip(("seed_1", "seed_2"), moves, strict=True):
            row["documents"][f"partition_{name}"] = [10 * (x + 5 + move) for x in dense[:3]]
    before, after = (
        {row.id: row for row in join_claims(CRITERIA, [], results, [], PAPER)} for results in (alone, several)
    )
    for row_id, shifts in (
        ("loss.rise:en", [0, 0.6, -0.9]),
        ("loss.rise:ur", [0, 1.2, 0.3]),
        ("loss.rise_mean", [0, 0.9, -0.3]),  # shifts of the languages do not cancel: one cut serves both
    ):
        half = stats.t.ppf(0.975, 2) * np.std(shifts, ddof=1) / 3**0.5
        assert before[row_id].statistic.endswith("one partition: pruning.partition_documents is 0")
        assert before[row_id].high - before[row_id].low == pytest.approx(0)
        assert after[row_id].value == pytest.approx(5 + np.mean(shifts))
        assert after[row_id].high - after[row_id].low == pytest.approx(2 * half)
        assert "partition" not in after[row_id].statistic


def test_what_only_people_can_judge_is_not_tested_and_has_its_stand_in():
    results = [result("en", [4.0, 4.2, 3.9], [4.5, 4.1, 4.8], [4.2, 4.2, 4.2])]
    rows = {row.id: row for row in join_claims(CRITERIA, [], results, [], PAPER)}
    people, stand_in = rows["people.pruned_worse"], rows["people.loss_worse"]
    assert (people.value, people.paper_value, people.verdict) == (None, 0.52, "not tested")
    assert stand_in.value == pytest.approx(2 / 3) and stand_in.verdict == "not tested"
    assert 0.2 < stand_in.low < 2 / 3 < stand_in.high < 1
    assert overall_verdict([people, stand_in]) == "not tested"


def test_batch_sizes_of_one_model_are_one_timing():
    def timed(code, ratio):
        return {"language": code, "phase": "decode", "ratio": ratio, "noisy": False}

    results = [result("en", [1.0], [2.0], [1.5])]
    models = {"en": 1.2, "hi": 1.3, "ur": 1.25}
    once = judge_speed(CRITERIA, [timed(code, ratio) for code, ratio in models.items()], results)[1]
    many = [timed(code, ratio * f) for code, ratio in models.items() for f in (0.99, 1.01, 0.99, 1.01)]
    again = judge_speed(CRITERIA, many, results)[1]
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=1e-3)


def test_rows_stand_in_the_papers_order():
    results = [result("en", [4.0, 4.1], [4.5, 4.7], [4.2, 4.3])]
    recordings = judge_recordings(CRITERIA, {}, {}, PAPER)
    rows = join_claims(CRITERIA, recordings[::-1], results, [], PAPER)
    order = list(CRITERIA)
    positions = [order.index(row.id.partition(":")[0]) for row in rows]
    assert positions == sorted(positions)
    judged = list(dict.fromkeys(row.claim for row in rows))
    assert judged == [claim for claim in CLAIMS if claim in judged] and len(judged) == 11


def test_one_timing_has_no_interval():
    speed = [{"language": "en", "phase": "decode", "ratio": 2.0, "noisy": False}]
    rows = judge_speed(CRITERIA, speed, [result("en", [1.0], [2.0], [1.5])])
    assert (rows[1].value, rows[1].low, rows[1].verdict) == (2, None, "undecided")


def test_noisy_timings_decide_no_claim():
    def timed(phase, ratio, noisy, language="en"):
        return {"language": language, "phase": phase, "ratio": ratio, "noisy": noisy}

    ratios = {"en": 1.2, "hi": 1.3, "ur": 1.25}
    calm = [timed("decode", ratio, False, code) for code, ratio in ratios.items()]
    disturbed = [timed("decode", 0.1, True), timed("prefill", 9.0, True), timed("prefill", 9.1, True)]
    results = [result("en", [1.0], [2.0], [1.5])]
    prefill, decode, _ = judge_speed(CRITERIA, [*calm, *disturbed], results)
    assert decode == judge_speed(CRITERIA, calm, results)[1]
    assert (prefill.value, prefill.verdict) == (None, "undecided") and "too noisy" in prefill.statistic


def test_frontier_compares_methods_at_every_share():
    nll = {"random": 9.0, "most_frequent_per_layer": 6.0, "layer_rates": 6.5}
    nll |= {"random_same_layers": 8.0, "most_frequent": 7.0}
    frontier = [
        {"language": code, "method": method, "share": share, "nll": value + shift - float(share)}
        for code, shift in (("en", 0.0), ("hi", 0.1))
        for method, losses in nll.items()
        for value in ((losses - 1, losses + 1) if method.startswith("random") else (losses,))
        for share in ("0.5", "0.9")
    ]
    rows = judge_frontier(CRITERIA, [*frontier, {"language": "en", "method": "dense", "share": 1, "nll": 4}])
    assert [round(row.value, 6) for row in rows] == [3, 3, 1, 1, -0.5, -0.5]
    assert [row.verdict for row in rows] == ["holds"] * 4 + ["does not hold"] * 2
    assert rows[0].statistic.endswith("50 % of experts kept")


def test_claims_survive_being_written_and_those_of_another_study_are_refused(tmp_path):
    rows = [ClaimRow("a.s", "a, b", "s", 1 / 3, None, None, 0.5, "undecided")]
    out = SimpleNamespace(table=tmp_path / "claims.csv", record=tmp_path / "claims.json")
    write_claims(out, rows, "tiny", ["en", "hi"])
    header = out.table.read_text().splitlines()[0]
    assert header == (
        "id,claim,statistic,value,low,high,paper_value,verdict,"
        "pooled,pooled_verdict,beyond,beyond_low,beyond_high,depends_on"
    )
    assert read_claims(out.record, "tiny", ["en", "hi"]) == rows
    with pytest.raises(BabelscopeError, match=r"languages = \['en', 'hi'\], this run has \['en', 'fr'\]"):
        read_claims(out.record, "tiny", ["en", "fr"])
    out.record.write_text(out.record.read_text().replace("undecided", "holds"))
    with pytest.raises(BabelscopeError, match="damaged"):
        read_claims(out.record, "tiny", ["en", "hi"])


def test_page_says_every_claim_its_region_and_its_figure():
    results = [result("en", [4.0, 4.1], [4.5, 4.7], [4.2, 4.3]), result("hi", [4.0, 4.2], [9.0, 9.1], [5, 5])]
    rows = [
        *join_claims(CRITERIA, judge_recordings(CRITERIA, {}, {}, PAPER), results, [], PAPER),
        *judge_frontier(CRITERIA, []),
    ]
    figures = {row.figure: b"png" for row in CRITERIA.values()}
    page = claims_page(rows, CRITERIA, figures, TEMPLATE, "tiny <model>")
    assert "tiny &lt;model&gt;" in page and "$" not in page
    for row in rows:
        assert row.claim in page and row.statistic in page
        criterion = criterion_of(CRITERIA, row.id)
        assert criterion.region in page and f'href="#{criterion.figure}"' in page
    for name in figures:
        assert f'<figure id="{name}">' in page
    short = page.split("<h2>What decides</h2>")[0]
    assert short.index("Does not hold") < short.index(CLAIMS[7]) < short.index("Undecided")


def test_regions_in_words():
    regions = {name: row.region for name, row in CRITERIA.items()}
    assert regions["sharing.share_all"] == "between 0.4 and 0.6"
    assert regions["families.genus"] == "at most 0.05"
    assert regions["speed.parameters_kept"] == "below 1"
    assert regions["loss.rise"] == "between 0 and 0.79"
    assert regions["loss.smallest_rise"] == "above 0"
    assert CRITERIA["sharing.share_none"].bounds == (1000 / 8192,)

"""Claims: which region decides, verdicts of intervals, layers at the same depth, the page."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from tests.unit.evidence.pruning_results import CRITERIA, PAPER, ROOT, result
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
from babelscope.evidence.pruning_claims import join_claims, judge_frontier
from babelscope.statistics.bootstrap import Estimate
from babelscope.study.errors import BabelscopeError

TEMPLATE = (ROOT / "resources/templates/claims.html").read_text(encoding="utf-8")
CLAIMS = list(dict.fromkeys(row.claim for row in CRITERIA.values()))
MAIN = {"main": Setting("euclidean", 0.05)}


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


def test_rows_stand_in_the_papers_order():
    results = [result("en", [4.0, 4.1], [4.5, 4.7], [4.2, 4.3])]
    recordings = judge_recordings(CRITERIA, {}, {}, PAPER)
    rows = join_claims(CRITERIA, recordings[::-1], results, [], PAPER)
    order = list(CRITERIA)
    positions = [order.index(row.id.partition(":")[0]) for row in rows]
    assert positions == sorted(positions)
    judged = list(dict.fromkeys(row.claim for row in rows))
    assert judged == [claim for claim in CLAIMS if claim in judged] and len(judged) == 11


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

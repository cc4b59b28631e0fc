"""The annotation page as a text, the files it exports, and what they are summed up to."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from tests.support import ANNOTATION_TEMPLATE as TEMPLATE

from babelscope.responses.agreement import summarise_annotations
from babelscope.responses.page import (
    compute_items_digest,
    make_items,
    pruned_is_left,
    read_annotation,
    render_annotation_page,
    text_direction,
    write_annotation_page,
)
from babelscope.study.errors import BabelscopeError


def responses(n=4, language="en"):
    return [
        {"id": f"{language}-{i}", "prompt": f"Prompt {i}", "dense": f"full {i}", "pruned": f"cut {i}"}
        for i in range(n)
    ]


def page_data(page):
    """The JSON that a rendered page carries."""
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def export(path, outcomes, *, annotator="Ada", language="en", n=4, seed=0, model="m", **changes):
    """Write the file of an annotator who finds the pruned model's response of item i ``outcomes[i]``."""
    data = page_data(
        render_annotation_page(
            responses(n, language), template=TEMPLATE, model=model, language=language, seed=seed
        )
    )
    judgements = []
    for item, outcome in zip(data["items"], outcomes, strict=False):
        if outcome is None:
            continue
        better = {"win": "cut", "loss": "full"}.get(outcome)
        sides = [side for side in ("left", "right") if better and item[side].startswith(better)]
        judgements.append({"id": item["id"], "judgement": sides[0] if sides else "comparable"})
    content = {name: data[name] for name in ("format", "format_version", "model", "language", "items_digest")}
    content["annotator"] = annotator
    content["items"] = [{name: item[name] for name in ("id", "key", "text_sha256")} for item in data["items"]]
    content["judgements"] = judgements
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


# The page


def test_sides_are_drawn_by_item_and_seed():
    items = make_items(responses(400), language="en", seed=0)
    left = [pruned_is_left(item.id, item.key) for item in items]
    assert [item.left.startswith("cut") for item in items] == left
    assert all({item.left[:3], item.right[:3]} == {"cut", "ful"} for item in items)
    # Within four standard deviations of a fair coin.
    assert abs(sum(left) - 200) < 4 * np.sqrt(400 / 4)
    assert items == make_items(responses(400), language="en", seed=0)
    others = make_items(responses(400), language="en", seed=1)
    n_changed = sum(
        pruned_is_left(other.id, other.key) != side for other, side in zip(others, left, strict=True)
    )
    assert abs(n_changed - 200) < 4 * np.sqrt(400 / 4)


def test_the_page_does_not_say_which_model_is_which():
    page = render_annotation_page(responses(), template=TEMPLATE, model="m", language="en", seed=0)
    assert not re.search(r"dense|pruned|sparse", page, re.IGNORECASE)
    assert set(page_data(page)["items"][0]) == {"id", "key", "prompt", "left", "right", "text_sha256"}


def test_texts_cannot_become_markup():
    hostile = "</script><script>alert(1)</script><!--<script>&amp;\u2028\u2029 @@DATA@@ \ud800\x00"
    bad = [{"id": hostile, "prompt": hostile, "dense": hostile, "pruned": hostile + "2"}]
    page = render_annotation_page(bad, template=TEMPLATE, model=hostile, language="en", seed=0)
    elements = []

    class Collector(HTMLParser):
        def handle_starttag(self, tag, attrs):
            elements.append((tag, dict(attrs)))

    Collector().feed(page)
    assert [attrs for tag, attrs in elements if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert page_data(page)["items"][0]["prompt"] == hostile
    assert page.isascii() or "\u2028" not in page


def test_the_page_names_nothing_outside_itself():
    page = render_annotation_page(responses(), template=TEMPLATE, model="m", language="en", seed=0)
    assert not re.search(r"https?:|//[a-z]|\bsrc=|@import|url\(|<link|<iframe", page)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_direction_follows_the_script():
    assert text_direction(["یہ اردو ہے NASA 2024"]) == "rtl"
    assert text_direction(["שלום"]) == "rtl"
    assert text_direction(["हिन्दी", "中文", "English with عرب"]) == "ltr"
    assert text_direction(["123", ""]) == "ltr"


def test_the_digest_changes_with_every_text_and_with_the_order_of_sides():
    items = make_items(responses(), language="en", seed=0)
    digest = compute_items_digest("m", "en", items)
    assert (
        page_data(render_annotation_page(responses(), template=TEMPLATE, model="m", language="en", seed=0))[
            "items_digest"
        ]
        == digest
    )
    changed = responses()
    changed[2]["pruned"] += "."
    others = [
        compute_items_digest("m", "en", make_items(changed, language="en", seed=0)),
        compute_items_digest("m", "en", make_items(responses(), language="en", seed=1)),
        compute_items_digest("m2", "en", items),
        compute_items_digest("m", "en", items[:3]),
    ]
    assert len({digest, *others}) == 5


def test_greedy_and_sampled_responses_of_one_prompt_are_two_items(tmp_path):
    both = [{**response, "mode": mode} for response in responses(1) for mode in ("greedy", "sampled")]
    assert [item.id for item in make_items(both, language="en", seed=0)] == ["en-0/greedy", "en-0/sampled"]
    write_annotation_page(
        tmp_path / "new" / "en.html", both, template=TEMPLATE, model="m", language="en", seed=0
    )
    assert (tmp_path / "new" / "en.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("given", "language", "message"),
    [
        ([], "en", "'en': no responses to compare"),
        ([{"id": "a", "prompt": "p", "dense": "d"}], "en", "response 1 of language 'en': 'pruned' is None"),
        (responses(1) * 2, "en", "two responses have the id and mode 'en-0'"),
        (responses(1), '"><b>', "is no language code"),
    ],
)
def test_no_page_of_wrong_responses(given, language, message):
    with pytest.raises(BabelscopeError, match=message):
        render_annotation_page(given, template=TEMPLATE, model="m", language=language, seed=0)


# Exported files


def test_judgements_are_resolved_whatever_the_side(tmp_path):
    outcomes = ["win", "tie", "loss", None] * 10
    for seed in range(3):
        annotation = read_annotation(export(tmp_path / "a.json", outcomes, n=40, seed=seed))
        expected = {f"en-{i}": {"win": 1, "tie": 0, "loss": -1}[o] for i, o in enumerate(outcomes) if o}
        assert annotation.outcomes == expected
        assert annotation.n_items == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "format is 'other', need 'babelscope/annotation'"),
        ({"format_version": 2}, "format_version is 2, this Babelscope reads 1"),
        ({"annotator": "  "}, "'annotator' is '  ', need a text"),
        ({"items_digest": "0" * 64}, "items_digest 000000000000 is not that of its model"),
        ({"items": [{"id": "en-0", "key": "0", "text_sha256": "0"}]}, "the file was altered"),
        ({"items": {}}, "'items' is dict, need a list"),
        ({"judgements": []}, "no item is judged"),
        ({"judgements": ["left"]}, "entry 1 of 'judgements' is no object"),
        ({"judgements": [{"id": "en-9", "judgement": "left"}]}, "judges the unknown item 'en-9'"),
        ({"judgements": [{"id": "en-1", "judgement": "A"}]}, "'A', allowed are left, comparable, right"),
        ({"judgements": [{"id": "en-1", "judgement": "left"}] * 2}, "'judgements' has item 'en-1' twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_problem(tmp_path, changes, message):
    path = export(tmp_path / "ada.json", ["win"], **changes)
    with pytest.raises(BabelscopeError, match=message) as error:
        summarise_annotations([path])
    assert str(path) in str(error.value)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("not json", encoding="utf-8")
    with pytest.raises(BabelscopeError, match=r"a\.json: cannot be read as JSON"):
        summarise_annotations([path])
    with pytest.raises(BabelscopeError, match="no annotation files"):
        summarise_annotations([])
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(BabelscopeError, match="format is None"):
        summarise_annotations([path])


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    first = export(tmp_path / "1.json", ["win"])
    with pytest.raises(BabelscopeError, match="annotator 'ADA' has judged language 'en' already"):
        summarise_annotations([first, export(tmp_path / "2.json", ["tie"], annotator=" ADA ")])
    with pytest.raises(BabelscopeError, match="must come from the same page"):
        summarise_annotations([first, export(tmp_path / "3.json", ["tie"], annotator="B", seed=1)])
    with pytest.raises(BabelscopeError, match="summarise one model at a time"):
        summarise_annotations([first, export(tmp_path / "4.json", ["tie"], annotator="B", model="m2")])


def test_files_of_another_page_than_expected_are_refused(tmp_path):
    path = export(tmp_path / "1.json", ["win"])
    digest = compute_items_digest("m", "en", make_items(responses(), language="en", seed=0))
    assert len(summarise_annotations([path], {"en": digest})) == 2
    with pytest.raises(BabelscopeError, match="the responses were made again since"):
        summarise_annotations([path], {"en": "f" * 64})
    with pytest.raises(BabelscopeError, match="has none"):
        summarise_annotations([path], {})


# The summary


def test_rates_by_hand(tmp_path):
    files = [
        export(tmp_path / "1.json", ["win", "tie", "loss", "loss"], annotator="Ada"),
        export(tmp_path / "2.json", ["win", "loss", "loss", None], annotator="Ben"),
        export(tmp_path / "3.json", ["tie", "tie"], annotator="ada", language="ur", n=2),
    ]
    english, urdu, overall = summarise_annotations(files)
    assert (english["language"], urdu["language"], overall["language"]) == ("en", "ur", "all")
    assert (english["n_items"], english["n_annotators"], english["n_judgements"]) == (4, 2, 7)
    assert english["win_rate"] == pytest.approx(2 / 7)
    assert english["tie_rate"] == pytest.approx(1 / 7)
    assert english["loss_rate"] == pytest.approx(4 / 7)
    assert (urdu["tie_rate"], urdu["n_annotators"], urdu["alpha_nominal"]) == (1.0, 1, None)
    assert overall["tie_rate"] == pytest.approx(3 / 9)
    assert (overall["n_items"], overall["n_annotators"], overall["n_page_items"]) == (6, 2, 6)
    for row in (english, urdu, overall):
        for name in ("win", "tie", "loss"):
            assert 0 <= row[f"{name}_low"] <= row[f"{name}_rate"] <= row[f"{name}_high"] <= 1
    # Item 3 has one judgement, so kappa is not defined. Pairs: win win, tie loss, loss loss; of 6 ratings
    # 2 win, 1 tie, 3 loss; observed disagreement 2/6, expected 2(2*1 + 2*3 + 1*3) / (6*5).
    assert english["fleiss_kappa"] is None
    assert english["alpha_nominal"] == pytest.approx(1 - (2 / 6) / (22 / 30))


def test_full_agreement_of_all_annotators(tmp_path):
    files = [
        export(tmp_path / f"{name}.json", ["win", "tie", "loss", "win"], annotator=name)
        for name in ("A", "B", "C")
    ]
    row = summarise_annotations(files)[0]
    assert (row["alpha_nominal"], row["alpha_ordinal"]) == pytest.approx((1, 1))
    assert row["fleiss_kappa"] == pytest.approx(1)
    # Three who always agree say no more than one.
    assert (row["win_low"], row["win_high"]) == pytest.approx(proportion_confint(2, 4, method="wilson"))

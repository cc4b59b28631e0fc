"""The explorer of whole studies: numbers of the files, experts of routers, ablations, a study of 7B."""

import base64
import csv

import h5py
import numpy as np
import pytest
from tests.browser import explorer
from tests.explorer_pages import (
    CLASSES,
    SHAPE_7B,
    make_contexts,
    make_data,
    with_ablation,
    with_routers,
    write_page,
)

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys
from tests.browser.explorer import find, open_page, serious_findings, texts

driver, fresh = explorer.driver, explorer.fresh
PHONE = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}


def test_numbers_on_the_page_are_those_of_the_files(driver, finished_study):
    folder = finished_study / "results" / "tiny"
    open_page(driver, folder / "explorer.html")
    with h5py.File(folder / "frequency.h5") as file:
        frequency, codes = file["frequency"][()], [code.decode() for code in file["languages"][()]]
    with open(folder / "evidence" / "specific_experts.csv", encoding="utf-8") as file:
        specific = list(csv.DictReader(file))
    shown = {(0, 0), (1, 5), *((int(row["layer"]), int(row["expert"])) for row in specific[:3])}
    for layer, expert in shown:
        open_page(driver, folder / "explorer.html", f"#unit=L{layer}E{expert}")
        cells = texts(driver, "#frequency-numbers tbody td:nth-child(2)")
        np.testing.assert_allclose([float(cell) for cell in cells], frequency[:, layer, expert], rtol=5e-6)
        named = [row for row in specific if (int(row["layer"]), int(row["expert"])) == (layer, expert)]
        for row in named:
            facts = texts(driver, ".facts dd")
            assert any(fact.startswith(f"{float(row['difference']):.6g} (95 %: ") for fact in facts)
            assert any(fact.startswith(f"number {row['rank']} of ") for fact in facts)
    with open(folder / "pruning.csv", encoding="utf-8") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert [row[0] for row in rows] == codes
    cells = texts(driver, "#pruning tbody th, #pruning tbody td")
    assert cells == [cell for row in rows for cell in row]


def test_what_is_lost_without_a_unit_has_the_numbers_of_the_table(driver, tmp_path):
    data = with_ablation(make_data())
    path = write_page(tmp_path / "ablation.html", data, make_contexts(data))
    rows = {(row["kind"], row["language"]): row for row in data["ablation"]}
    number = data["index"]["class"].index(CLASSES.index("specific"))
    own = data["index"]["group"][number]
    wanted = {"L0N1": rows["neurons", "hi"], f"L{number // 8}E{number % 8}": rows["experts", own]}
    for name, row in wanted.items():
        open_page(driver, path, f"#unit={name}")
        said = find(driver, "[aria-labelledby=removal-title]")
        assert f"all {row['n_units']} {row['kind']}" in said.text
        beyond = (
            f"{row['beyond_control']} (95 %: {row['beyond_control_low']} to {row['beyond_control_high']})"
        )
        shown = [element.text for element in said.find_elements("css selector", "dd")]
        assert shown == [*(row[key] for key in ("own", "others", "control_own", "control_others")), beyond]
    open_page(driver, path, "#unit=L1N9")
    assert "Only units that are specific to one language were removed." in find(driver, "#unit").text


def test_routed_experts_have_a_page_without_neurons(driver, tmp_path):
    data = with_routers(make_data())
    path = write_page(tmp_path / "routed.html", data, make_contexts(data))
    open_page(driver, path)
    assert find(driver, "#list-heading").text == "Experts" and find(driver, "#count").text == "22 units"
    for hidden in ("#kind", "#pruning"):
        assert not find(driver, hidden).is_displayed()
    assert texts(driver, "#map-layers span") == ["1", "2", "3"]
    find(driver, "#map").send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.END)
    assert find(driver, "#map-status").text.startswith("L3E5 ("), "the last layer has six experts"
    find(driver, "#map").send_keys(Keys.ENTER)
    assert find(driver, "#unit-title").text == "Expert L3E5"
    find(driver, "#depth").send_keys(Keys.ARROW_RIGHT)
    assert find(driver, "#depth-name").text == "layer 1"
    open_page(driver, path, "#unit=L1E0")
    assert not driver.find_elements("css selector", "[aria-labelledby=neurons-title]")
    weight = np.frombuffer(base64.b64decode(data["weight"]), "<f4").reshape(3, 3, 8)[:, 0, 0]
    cells = texts(driver, "#frequency-numbers tbody td:nth-child(5)")
    np.testing.assert_allclose([float(cell) for cell in cells], weight, rtol=5e-6)
    assert "weight that the router gives" in find(driver, "[aria-labelledby=contexts-title]").text
    assert sorted(texts(driver, ".column h4")) == ["Arabic", "English", "Hindi"]
    rows = [row for row in data["removal"] if row["experts_of"] == "en"]
    shown = texts(driver, "table[data-removed=en] tbody td")
    assert shown == [row[key] for row in rows for key in ("rise", "rise_low", "rise_high")]
    assert not driver.find_elements("css selector", "table[data-removed=hi]"), "Hindi lost other experts"
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE["width"]
    assert serious_findings(driver) == []


def test_a_study_of_7b_and_24_languages_stays_responsive(driver, tmp_path):
    data = make_data(**SHAPE_7B)
    path = write_page(tmp_path / "large.html", data, make_contexts(data, 380))
    assert path.stat().st_size < 30e6
    open_page(driver, path)
    marks = driver.execute_script(
        "return Object.fromEntries(performance.getEntriesByType('mark').map(m => [m.name, m.startTime]))"
    )
    assert marks["first-chart"] < 2000
    timed = (
        "const done = arguments[arguments.length - 1], started = performance.now();"
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event(arguments[2], { bubbles: true }));"
        "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - started)))"
    )
    for name, value, event in (
        ("colour", "sharing", "change"), ("search", "häus", "input"), ("search", "", "input"),
        ("depth", "9", "input"), ("order", "value", "change"),
    ):  # fmt: skip
        assert driver.execute_async_script(timed, name, value, event) < 1000, name

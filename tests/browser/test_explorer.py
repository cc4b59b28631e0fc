"""The explorer in a real browser, from disk: what a person sees, clicks and types."""

import base64
import csv
import json
import xml.etree.ElementTree as ElementTree

import pytest
from tests.browser import explorer
from tests.explorer_pages import (
    HOSTILE,
    make_contexts,
    make_data,
    write_page,
)

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from tests.browser.explorer import downloaded, find, names, open_page, serious_findings, texts

driver, fresh = explorer.driver, explorer.fresh


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    data = make_data()
    return write_page(tmp_path_factory.mktemp("page") / "explorer.html", data, make_contexts(data))


def test_a_click_on_the_map_opens_the_expert_under_it(driver, page):
    open_page(driver, page)
    canvas = find(driver, "#map")
    size = canvas.size
    # the middle of layer 1, expert 6: from the middle of 3 layers x 8 experts
    ActionChains(driver).move_to_element_with_offset(
        canvas, int(2.5 * size["width"] / 8), 0
    ).click().perform()
    assert find(driver, "#unit-title").text == "Expert L1E6"
    assert "unit=L1E6" in driver.current_url
    assert driver.switch_to.active_element.get_attribute("id") == "unit-title"


def test_the_map_is_walked_by_keys_and_says_where_it_is(driver, page):
    open_page(driver, page)
    find(driver, "#map").send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert find(driver, "#map-status").text.startswith("L1E2 (")
    find(driver, "#map").send_keys(Keys.END, Keys.ENTER)
    assert find(driver, "#unit-title").text == "Expert L1E7"


def test_colours_follow_language_sharing_and_order(driver, page):
    open_page(driver, page)
    pixels = "return document.getElementById('map').toDataURL()"
    seen = [driver.execute_script(pixels)]
    for name, value in (
        ("colour", "sharing"),
        ("colour", "language"),
        ("language", "hi"),
        ("order", "value"),
    ):
        Select(find(driver, f"#{name}")).select_by_value(value)
        seen.append(driver.execute_script(pixels))
    assert len(set(seen)) == len(seen)
    assert find(driver, "#map-title").text == "Frequency in Hindi"


def test_units_are_searched_filtered_and_sorted(driver, page):
    open_page(driver, page)
    assert find(driver, "#count").text == "26 units"  # 24 experts and the neurons with contexts
    find(driver, "#search").send_keys("hausx")
    assert names(driver) == []
    find(driver, "#search").clear()
    find(driver, "#search").send_keys("hauser")
    assert len(names(driver)) == 6 and texts(driver, "#list .found") == ["Häuser"] * 6
    find(driver, "#reset").click()
    Select(find(driver, "#layer")).select_by_value("2")
    Select(find(driver, "#kind")).select_by_value("expert")
    assert len(names(driver)) == 8 and all(name.startswith("L2E") for name in names(driver))
    find(driver, 'button[data-sort="unit"]').click()
    find(driver, 'button[data-sort="unit"]').click()
    assert names(driver) == [f"L2E{n}" for n in range(8)]
    heading = driver.find_element("xpath", "//button[@data-sort='unit']/..")
    assert heading.get_attribute("aria-sort") == "ascending"
    find(driver, "#least").send_keys(*[Keys.ARROW_RIGHT] * 10)
    assert find(driver, "#least-name").text == "0.1"
    assert 0 < len(names(driver)) < 8
    find(driver, "#reset").click()
    find(driver, "#with-contexts").click()
    assert len(names(driver)) == 6
    Select(find(driver, "#language")).select_by_value("ar")
    assert set(texts(driver, "#list tbody td:nth-child(3)")) <= {"Arabic", "ar"}


def test_keys_search_walk_and_close(driver, page):
    open_page(driver, page)
    body = find(driver, "body")
    body.send_keys("/")
    assert driver.switch_to.active_element.get_attribute("id") == "search"
    driver.execute_script("document.activeElement.blur()")
    order = names(driver)
    find(driver, "#list tbody a").send_keys(Keys.ENTER)
    assert find(driver, "#unit-title").text.endswith(order[0])
    find(driver, "#unit-title").send_keys("j")
    assert find(driver, "#unit-title").text.endswith(order[1])
    find(driver, "#unit-title").send_keys("k")
    assert find(driver, "#unit-title").text.endswith(order[0])
    find(driver, "#next").click()
    assert find(driver, "#unit-title").text.endswith(order[1])
    find(driver, "#previous").click()
    assert find(driver, "#unit-title").text.endswith(order[0])
    find(driver, "#unit-title").send_keys(Keys.ESCAPE)
    assert not find(driver, "#unit").is_displayed() and "unit=" not in driver.current_url


def test_a_link_opens_what_it_was_copied_from_and_back_goes_back(driver, page):
    open_page(driver, page, "#unit=L1E7&colour=language&language=ar&measure=kl&depth=2&text=L1E7")
    assert find(driver, "#unit-title").text == "Expert L1E7"
    assert Select(find(driver, "#language")).first_selected_option.text == "Arabic (ar)"
    assert find(driver, "#depth-name").text == "layer 2" and names(driver) == ["L1E7"]
    find(driver, "#copy").click()
    WebDriverWait(driver, 5).until(
        lambda d: (
            find(d, "#copied").text == "The link is copied."
            or find(d, "#address").get_attribute("value") == d.current_url
        )
    )
    neuron = find(driver, "#unit-body .numbers a[href*='N']")
    driver.execute_script("arguments[0].click()", neuron)
    WebDriverWait(driver, 5).until(lambda d: find(d, "#unit-title").text.startswith("Neuron L1N"))
    driver.back()
    WebDriverWait(driver, 5).until(lambda d: find(d, "#unit-title").text == "Expert L1E7")
    open_page(driver, page, "#unit=L99E1&colour=nonsense")
    assert not find(driver, "#unit").is_displayed(), "a link to what the model does not have shows nothing"


def test_contexts_stand_side_by_side_in_their_own_direction_with_the_token_marked(driver, page):
    open_page(driver, page, "#unit=L1E7")
    columns = driver.find_elements("css selector", ".column")
    assert sorted(column.get_attribute("data-code") for column in columns) == ["ar", "en", "hi"]
    assert len({column.rect["y"] for column in columns}) == 1
    for code, direction in (("ar", "rtl"), ("en", "ltr")):
        text = find(driver, f".column[data-code={code}] .text")
        assert text.get_attribute("dir") == direction and text.get_attribute("lang") == code
    assert find(driver, ".column[data-code=ar] mark").text == "البيت"
    assert len(driver.find_elements("css selector", ".column[data-code=ar] li")) == 9


def test_hostile_documents_are_shown_harmlessly(driver, tmp_path):
    data = make_data()
    path = write_page(tmp_path / "hostile.html", data, make_contexts(data, hostile=True))
    open_page(driver, path, "#unit=L1E7")
    assert driver.execute_script("return window.broken") is None
    assert not driver.find_elements("css selector", ".text img, .text script, .text b, .text a")
    shown = find(driver, ".column[data-code=en] .text").get_attribute("textContent")
    assert "</script><script>window.broken = 1</script>" in shown and "javascript:alert(1)" in shown
    assert {"RLO", "PDF", "ZWSP", "LS"} <= set(texts(driver, ".column[data-code=en] .unusual"))
    where = find(driver, ".column[data-code=en] .score").get_attribute("title")
    assert where.startswith("document en document 0</script>") and "[RLO]evil[PDF] zero[ZWSP]width" in where
    for text in (shown, where):
        assert not {"\u202e", "\u200b", "\u2028"} & set(text) and "\u202e" in HOSTILE
    find(driver, "#search").send_keys("<b>")
    assert len(names(driver)) == 6 and not driver.find_elements("css selector", "#list b")


def test_similarity_is_a_heatmap_with_a_tree_and_a_slider_over_layers(driver, page):
    open_page(driver, page)
    data = json.loads(driver.execute_script("return document.getElementById('data').textContent"))
    assert len(driver.find_elements("css selector", "#similarity .cell")) == 9
    assert len(driver.find_elements("css selector", "#similarity .tree path")) == 2
    Select(find(driver, "#measure")).select_by_value("euclidean")
    find(driver, "#depth").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert find(driver, "#depth-name").text == "layer 1"
    found = data["similarity"]["euclidean"]
    order = found["trees"][1]["order"]
    cell = driver.find_elements("css selector", "#similarity .cell")[1]
    ActionChains(driver).move_to_element(cell).click().perform()
    value = found["layers"][1][order[0]][order[1]]
    status = find(driver, "#pair-status").text
    assert all(data["languages"][place]["name"] in status for place in order[:2])
    assert f"layer 1: {value:.6g} (" in status
    find(driver, "#similarity-numbers summary").click()
    assert f"{found['layers'][1][0][1]:.6g}" in texts(driver, "#similarity-table td")


def test_a_pair_of_languages_is_chosen_by_keys_too_and_is_in_the_address(driver, page):
    open_page(driver, page)
    first = find(driver, "#pair-status").text
    assert first.startswith("English \u2013 Hindi, all layers: ")
    Select(find(driver, "#pair-second")).select_by_visible_text("Arabic")
    assert find(driver, "#pair-status").text.startswith("English \u2013 Arabic, all layers: ")
    assert len(driver.find_elements("css selector", "#similarity .chosen")) == 2
    assert "pair=en.ar" in driver.current_url
    open_page(driver, page, "#pair=ar.hi")
    shown = [
        Select(find(driver, f"#{name}")).first_selected_option.text for name in ("pair-first", "pair-second")
    ]
    assert shown == ["Arabic", "Hindi"]


def test_where_text_may_not_be_passed_on_there_are_documents_and_positions(driver, tmp_path, downloads):
    data = make_data()
    path = write_page(tmp_path / "positions.html", data, make_contexts(data, text=False))
    open_page(driver, path, "#unit=L1E7")
    assert texts(driver, ".column[data-code=en] .where")[:2] == [
        "document en document 0, token 0", "document en document 1, token 1"
    ]  # fmt: skip
    assert not driver.find_elements("css selector", ".column mark")
    with open(downloaded(driver, downloads, "#contexts-csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27 and {(row["left"], row["token"], row["right"]) for row in rows} == {("", "", "")}
    find(driver, "#search").send_keys("hauser")
    assert names(driver) == []


def test_the_policy_stops_scripts_handlers_and_requests_that_would_get_into_the_page(driver, page):
    open_page(driver, page)
    driver.execute_script(
        "const add = (name, values) =>"
        "  Object.assign(document.body.appendChild(document.createElement(name)), values);"
        "add('script', { textContent: 'window.broken = 1' });"
        "add('img', { src: 'data:image/png,x' }).setAttribute('onerror', 'window.broken = 2');"
        "add('a', { href: 'javascript:window.broken = 3' }).click();"
        "add('iframe', { srcdoc: '<script>parent.broken = 4</script>' });"
    )
    asked = driver.execute_async_script(
        "const done = arguments[0];fetch('data:,x').then(() => done('answered'), () => done('refused'))"
    )
    assert asked == "refused" and driver.execute_script("return window.broken") is None
    refused = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert sum("Content Security Policy" in message for message in refused) >= 4


def test_a_screen_reader_finds_names_roles_and_what_changes(driver, page):
    open_page(driver, page, "#unit=L1E7")
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    said = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node
    }
    wanted = {
        ("heading", "Expert L1E7"), ("region", "Experts, layer by layer"), ("button", "Next j"),
        ("searchbox", "Token text, or a unit such as L3E117 /"), ("combobox", "Colour"),
        ("image", "Frequency of L1E7 by language"), ("columnheader", "Above the next"),
        ("slider", "Depth:"), ("slider", "At least above the next language:"),
    }  # fmt: skip
    assert wanted <= said, wanted - said
    (name,) = [name for role, name in said if name.startswith("Map of experts")]
    assert "Arrow keys move, Enter opens" in name
    live = texts(driver, "[role=status]")
    find(driver, "#map").send_keys(Keys.ARROW_RIGHT)
    assert texts(driver, "[role=status]") != live, "the expert under the cursor is said"


def test_what_is_selected_is_exported(driver, page, downloads):
    open_page(driver, page, "#unit=L1E7&layer=1&kind=expert&sort=unit&descending=0")
    with open(downloaded(driver, downloads, "#list-csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows] == [f"L1E{n}" for n in range(8)] and "frequency_ar" in rows[0]
    with open(downloaded(driver, downloads, "#contexts-csv"), encoding="utf-8", newline="") as file:
        assert "البيت" in {row["token"] for row in csv.DictReader(file)}
    for button in ("#chart-svg", "#map-svg", "#similarity-svg"):
        root = ElementTree.parse(downloaded(driver, downloads, button)).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and len(list(root.iter())) > 20
    with open(downloaded(driver, downloads, "#chart-csv"), encoding="utf-8", newline="") as file:
        assert [row["language"] for row in csv.DictReader(file)] == ["en", "hi", "ar"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window_and_axe_finds_nothing_serious(driver, page, width, scheme):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    open_page(driver, page, "#unit=L1E7&measure=kl")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert serious_findings(driver) == []


def test_the_theme_can_be_turned_over(driver, page):
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    open_page(driver, page)
    colour = "return getComputedStyle(document.body).backgroundColor"
    dark = driver.execute_script(colour)
    find(driver, "#theme").click()
    light = driver.execute_script(colour)
    find(driver, "#theme").click()
    assert dark != light and driver.execute_script(colour) == dark


def test_in_a_report_of_one_file_the_page_is_a_frame_that_works(driver, page, tmp_path):
    frame = "data:text/html;charset=utf8;base64," + base64.b64encode(page.read_bytes()).decode()
    report = tmp_path / "report.html"
    report.write_text(
        f'<iframe src="{frame}" style="width: 1200px; height: 800px"></iframe>', encoding="utf-8"
    )
    driver.get(report.as_uri())
    driver.switch_to.frame(0)
    WebDriverWait(driver, 20).until(
        lambda d: d.execute_script("return document.documentElement.dataset.ready") == "true"
    )
    find(driver, "#list tbody a").click()
    WebDriverWait(driver, 5).until(lambda d: find(d, "#unit").is_displayed())
    find(driver, "#copy").click()
    WebDriverWait(driver, 5).until(lambda d: find(d, "#address").get_attribute("value"))
    assert find(driver, "#address").get_attribute("value").startswith("explorer.html#unit=L")
    find(driver, "#close").click()
    assert not find(driver, "#unit").is_displayed()
    driver.switch_to.default_content()


def test_the_page_asks_the_network_for_nothing(driver, page):
    open_page(driver, page, "#unit=L1E7")
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in driver.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert asked and {url.split("#")[0] for url in asked} == {page.as_uri()}

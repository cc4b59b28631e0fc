"""The annotation page in a real browser: what a person clicks and hands over."""

import time
from contextlib import suppress

import pytest
from tests.browser.page import (
    OUTCOMES,
    RESPONSES,
    choice_for,
    click,
    exported,
    kept,
    press,
    pressed,
    reload,
    text,
    write_page,
)

from babelscope.responses.agreement import summarise_annotations
from babelscope.responses.page import read_annotation

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait


def test_clicked_answers_are_exported_and_resolved(driver, open_page, downloads):
    open_page()
    outcomes = ["win", "loss", "tie", "win", "win", "loss"]
    for i, outcome in enumerate(outcomes):
        assert text(driver, "prompt-text") == f"Prompt {i}"
        click(driver, "judge-" + choice_for(driver, outcome))
    assert "All items are judged" in text(driver, "status")
    path = exported(driver, downloads, "Zoë / Ádám")
    assert path.name == "babelscope_tiny_en_Zoë-Ádám.json"
    annotation = read_annotation(path)
    assert annotation.annotator == "Zoë / Ádám"
    assert annotation.outcomes == {f"{i}/greedy": OUTCOMES[outcome] for i, outcome in enumerate(outcomes)}
    row = summarise_annotations([path])[0]
    assert (row["win_rate"], row["tie_rate"], row["loss_rate"]) == pytest.approx((3 / 6, 1 / 6, 2 / 6))


def test_answers_by_keys(driver, open_page, downloads):
    open_page()
    number = {"left": "1", "comparable": "2", "right": "3"}
    outcomes = ["loss", "win", "tie", "loss"]
    for outcome in outcomes:
        press(driver, number[choice_for(driver, outcome)])
    assert text(driver, "prompt-text") == "Prompt 4"
    press(driver, Keys.ARROW_RIGHT, Keys.NUMPAD2)
    assert text(driver, "prompt-text") == "Prompt 4", "goes on with what is not judged yet"
    annotation = read_annotation(exported(driver, downloads, "keys"))
    expected = {
        f"{i}/greedy": OUTCOMES[outcome] for i, outcome in enumerate([*outcomes, None, "tie"]) if outcome
    }
    assert annotation.outcomes == expected


def test_digits_count_by_their_place_on_the_keyboard(driver, open_page):
    open_page()
    driver.execute_script(
        "document.dispatchEvent(new KeyboardEvent('keydown', {key: '۳', code: 'Digit3', bubbles: true}))"
    )
    press(driver, Keys.ARROW_LEFT)
    assert pressed(driver) == ["right"]


def test_walking_back_undo_and_change_of_mind(driver, open_page):
    open_page()
    assert not driver.find_element("id", "previous").is_enabled()
    press(driver, "1", "3")
    press(driver, Keys.ARROW_LEFT)
    assert (text(driver, "prompt-text"), pressed(driver)) == ("Prompt 1", ["right"])
    click(driver, "judge-comparable")
    press(driver, "u")
    assert (text(driver, "prompt-text"), pressed(driver)) == ("Prompt 1", ["right"])
    click(driver, "undo")
    assert (text(driver, "prompt-text"), pressed(driver)) == ("Prompt 1", [])
    ActionChains(driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    assert (text(driver, "prompt-text"), pressed(driver)) == ("Prompt 0", [])
    assert not driver.find_element("id", "undo").is_enabled()
    click(driver, "next")
    assert text(driver, "prompt-text") == "Prompt 1"
    click(driver, "previous")
    assert text(driver, "prompt-text") == "Prompt 0"


def test_a_reload_keeps_progress_and_a_deletion_does_not(driver, open_page):
    open_page()
    driver.find_element("id", "annotator").send_keys("Ada 123")
    assert "0 judged" in text(driver, "where"), "digits of the name are no judgement"
    click(driver, "judge-left")
    click(driver, "judge-right")
    reload(driver)
    assert "item 3 of 6 · 2 judged" in text(driver, "where")
    assert driver.find_element("id", "annotator").get_property("value") == "Ada 123"
    press(driver, "u")
    assert pressed(driver) == [] and "item 2 of 6 · 1 judged" in text(driver, "where")
    driver.execute_script("document.getElementById('instructions').open = true")
    click(driver, "restart")
    driver.switch_to.alert.accept()
    reload(driver)
    assert "item 1 of 6 · 0 judged" in text(driver, "where")


def test_progress_belongs_to_one_set_of_items(driver, open_page, tmp_path):
    open_page()
    press(driver, "1")
    write_page(tmp_path / "other.html", RESPONSES[:5])
    driver.get((tmp_path / "other.html").as_uri())
    assert "item 1 of 5 · 0 judged" in text(driver, "where")


@pytest.fixture
def two_windows(driver, open_page):
    """Two windows with the page, of which the second has an answer that the browser tells the first of.

    Now and then this browser, without a screen and on a slow disk, gives two windows stores of their own:
    then no page can know of the other's answers, and two other windows are opened.
    """
    for _ in range(5):
        open_page()
        first, url = driver.current_window_handle, driver.current_url
        driver.switch_to.new_window("tab")
        second = driver.current_window_handle
        driver.get(url)
        click(driver, "judge-right")
        assert "1 judged" in text(driver, "where")
        answers = kept(driver)
        driver.switch_to.window(first)
        with suppress(TimeoutException):
            WebDriverWait(driver, 15).until(lambda _, answers=answers: kept(driver) == answers)
            # the second window stays open: what it keeps reaches other windows a moment later
            yield first
            break
        driver.execute_script("localStorage.clear()")
        driver.close()
        driver.switch_to.window(second)
    else:
        pytest.fail("the browser tells no window of another's answers")


def test_a_second_window_sees_the_answers_of_the_first(driver, two_windows):
    WebDriverWait(driver, 60).until(lambda _: pressed(driver) == ["right"])


def test_a_window_that_missed_the_news_looks_again_when_it_comes_to_the_front(driver, open_page):
    open_page()
    click(driver, "judge-left")
    # as another window keeps it; no window is told of what it has kept itself
    driver.execute_script(
        "const key = Object.keys(localStorage)[0], kept = JSON.parse(localStorage.getItem(key));"
        "kept.judgements[Object.keys(kept.judgements)[0]] = 'right';"
        "localStorage.setItem(key, JSON.stringify(kept));"
        "document.dispatchEvent(new Event('visibilitychange'));"
    )
    click(driver, "previous")
    assert pressed(driver) == ["right"]


def test_a_browser_that_keeps_nothing_loses_no_answer_in_the_background(driver, open_page):
    open_page()
    click(driver, "judge-left")
    driver.execute_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    click(driver, "judge-right")
    driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    assert "2 judged" in text(driver, "where"), "the first answer alone was kept"
    driver.execute_script("localStorage.clear(); document.dispatchEvent(new Event('visibilitychange'))")
    assert "2 judged" in text(driver, "where")


def test_nothing_is_exported_without_name_or_judgement(driver, open_page, downloads):
    open_page()
    before = set(downloads.iterdir())
    click(driver, "export")
    assert "enter it first" in text(driver, "status")
    assert driver.switch_to.active_element.get_attribute("id") == "annotator"
    driver.find_element("id", "annotator").send_keys("Ada")
    click(driver, "export")
    assert "nothing to export" in text(driver, "status")
    time.sleep(0.3)
    assert set(downloads.iterdir()) == before

"""What the tests of the annotation page do with it: look, click, press keys, export."""

import time

import pytest
from tests.support import ANNOTATION_TEMPLATE as TEMPLATE

from babelscope.responses.page import write_annotation_page

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

RESPONSES = [
    {"id": str(i), "prompt": f"Prompt {i}", "dense": f"full {i}", "pruned": f"cut {i}", "mode": "greedy"}
    for i in range(6)
]
OUTCOMES = {"win": 1, "tie": 0, "loss": -1}


def write_page(path, responses=RESPONSES, language="en"):
    """A page of responses of the tiny model."""
    write_annotation_page(path, responses, template=TEMPLATE, model="tiny", language=language, seed=5)


def reload(driver):
    """Load the page again, until the browser gives back what it was given to keep: that takes time."""
    before = kept(driver)
    for _ in range(10):
        time.sleep(1)
        driver.refresh()
        if kept(driver) == before:
            break


def kept(driver):
    """What the browser keeps for the page of this window."""
    return driver.execute_script("return {...localStorage}")


def text(driver, name):
    return driver.execute_script("return document.getElementById(arguments[0]).textContent", name)


def click(driver, name):
    driver.find_element("id", name).click()


def press(driver, *keys):
    ActionChains(driver).send_keys(*keys).perform()


def pressed(driver):
    """The judgement that the page shows for the present item."""
    chosen = driver.find_elements("css selector", '.judge button[aria-pressed="true"]')
    return [button.get_attribute("id").removeprefix("judge-") for button in chosen]


def choice_for(driver, outcome):
    """Where to click so that the pruned model's response gets the outcome."""
    if outcome == "tie":
        return "comparable"
    cut_is_left = text(driver, "left-text").startswith("cut")
    return "left" if cut_is_left == (outcome == "win") else "right"


def exported(driver, downloads, name):
    # Chromium reserves the name with an empty file before it moves the download there.
    def complete():
        return {path for path in downloads.glob("*.json") if path.stat().st_size > 0}

    before = complete()
    driver.find_element("id", "annotator").clear()
    driver.find_element("id", "annotator").send_keys(name)
    click(driver, "export")
    new = WebDriverWait(driver, 20).until(lambda _: complete() - before)
    return new.pop()

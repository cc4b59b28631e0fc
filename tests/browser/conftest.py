"""A browser with the annotation page in it; tests that need one are skipped where there is none."""

import time

import pytest
from tests.browser.chromium import open_chromium


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def driver(tmp_path_factory, downloads):
    """A browser of its own for each test: what one has kept, another must not find.

    Beside other work on a slow disk one of some dozens was seen to keep nothing, whatever the page did: then
    another is opened.
    """
    for _ in range(4):
        folder = tmp_path_factory.mktemp("profile")
        browser = open_chromium(folder / "profile", downloads, "--window-size=1200,800")
        driver = next(browser)
        if keeps_what_pages_give_it(driver, folder / "probe.html"):
            break
        next(browser, None)
    else:
        pytest.fail("four browsers kept nothing for a page")
    yield driver
    next(browser, None)


def keeps_what_pages_give_it(driver, page):
    """Whether a value outlives a second and a reload."""
    page.write_text("<!doctype html><title>probe</title>", encoding="utf-8")
    driver.get(page.as_uri())
    driver.execute_script("localStorage.setItem('probe', 'kept')")
    time.sleep(1)
    driver.refresh()
    kept = driver.execute_script("return localStorage.getItem('probe')")
    driver.execute_script("localStorage.clear()")
    return kept == "kept"


@pytest.fixture
def open_page(driver, tmp_path):
    """Write a page and show it, with nothing kept from before."""
    from tests.browser.page import RESPONSES, write_page

    def open_page(responses=None, language="en"):
        path = tmp_path / f"{language}.html"
        write_page(path, responses or RESPONSES, language)
        driver.get(path.as_uri())
        for log in ("performance", "browser"):
            driver.get_log(log)  # what is read once is gone
        driver.refresh()

    return open_page

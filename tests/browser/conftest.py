"""A browser with the annotation page in it; tests that need one are skipped where there is none."""

import pytest
from tests.browser.chromium import open_chromium


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def driver(tmp_path_factory, downloads):
    """A browser of its own for each test: what one has kept, another must not find."""
    yield from open_chromium(tmp_path_factory.mktemp("profile"), downloads, "--window-size=1200,800")


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

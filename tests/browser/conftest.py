"""A browser with the annotation page in it; tests that need one are skipped where there is none."""

import shutil

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,800",
)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def driver(tmp_path_factory, downloads):
    """A browser of its own for each test: what one has kept, another must not find."""
    from selenium import webdriver

    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


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

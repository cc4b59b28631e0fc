"""What tests of the explorer have in common: a browser without a network, its page, axe-core."""

from importlib import metadata
from pathlib import Path

import pytest
from tests.browser.chromium import open_chromium

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = ("--window-size=1280,900", "--force-device-scale-factor=1", "--host-resolver-rules=MAP * ~NOTFOUND")


@pytest.fixture(scope="module")
def driver(tmp_path_factory, downloads):
    """One browser for all tests: the page keeps nothing."""
    yield from open_chromium(tmp_path_factory.mktemp("profile"), downloads, *FLAGS)


@pytest.fixture(autouse=True)
def fresh(driver):
    driver.set_window_size(1280, 900)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    yield
    for entry in driver.get_log("browser"):
        assert entry["level"] != "SEVERE", entry


def open_page(driver, path, hash_=""):
    driver.get("about:blank")
    for log in ("performance", "browser"):
        driver.get_log(log)
    driver.get(Path(path).as_uri() + hash_)
    WebDriverWait(driver, 20).until(
        lambda d: d.execute_script("return document.documentElement.dataset.ready") == "true"
    )


def find(driver, css):
    return driver.find_element("css selector", css)


def texts(driver, css):
    return driver.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0]), e => e.textContent)", css
    )


def names(driver):
    return texts(driver, "#list tbody a")


def downloaded(driver, downloads, button):
    def whole():
        # Chromium reserves the name with an empty file before it moves the download there
        return {p for p in downloads.iterdir() if p.suffix in (".csv", ".svg") and p.stat().st_size}

    before = whole()
    find(driver, button).click()  # a click of a person: others may hand out one file alone
    return WebDriverWait(driver, 20).until(lambda _: whole() - before).pop()


def axe_source():
    """axe-core, as the package ships it; the package itself would need Playwright."""
    try:
        files = metadata.files("axe-playwright-python") or []
    except metadata.PackageNotFoundError:
        pytest.skip("axe-playwright-python, which ships axe-core, is not installed")
    return next(file for file in files if file.name == "axe.min.js").read_text(encoding="utf-8")


def serious_findings(driver):
    """What axe-core finds on the page as it is now that is serious or critical."""
    driver.execute_script(axe_source())
    found = driver.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]][:3])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]

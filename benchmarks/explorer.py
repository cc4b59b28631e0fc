"""The explorer in a real browser: how fast it opens and answers, and the picture of the README.

    python benchmarks/explorer.py measure results/gemma-3-270m/explorer.html
    python benchmarks/explorer.py picture results/gemma-3-270m/explorer.html --unit L3E117

Needs chromium, chromedriver and selenium. Times are medians of five openings from disk, without a network, in
milliseconds from the start of the navigation; an interaction ends when its second frame after it is drawn.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# name, id of the control, value, event
INTERACTIONS = (
    ("colour by sharing", "colour", "sharing", "change"),
    ("colour by language", "colour", "language", "change"),
    ("order by colour", "order", "value", "change"),
    ("search a token", "search", "a", "input"),
    ("clear the search", "search", "", "input"),
    ("slider of layers", "depth", "3", "input"),
)
MARKS = "return Object.fromEntries(performance.getEntriesByType('mark').map(m => [m.name, m.startTime]))"
TIMED = """
const [id, value, event, done] = arguments, started = performance.now();
const control = document.getElementById(id);
control.value = value;
control.dispatchEvent(new Event(event, { bubbles: true }));
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - started)));
"""


@contextmanager
def browser(width: int, height: int, scheme: str) -> Iterator[Any]:
    """Chromium without a window and without a network."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
        )
        try:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            yield driver
        finally:
            driver.quit()


def open_page(driver: Any, page: Path, unit: str = "", more: str = "") -> dict[str, float]:
    """Open a page and wait until all of it is there; its marks in milliseconds."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get("about:blank")
    driver.get(f"{page.resolve().as_uri()}#{f'unit={unit}' if unit else ''}{more}")
    ready = "return document.documentElement.dataset.ready"
    WebDriverWait(driver, 60).until(lambda d: d.execute_script(ready) == "true")
    marks: dict[str, float] = driver.execute_script(MARKS)
    return marks


def measure(page: Path) -> None:
    """Print size, opening times and times of interactions."""
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    with browser(1280, 900, "light") as driver:
        openings = [open_page(driver, page) for _ in range(5)]
        for mark in ("first-chart", "all-there"):
            print(f"{mark}: {statistics.median(marks[mark] for marks in openings):.0f} ms")
        for name, control, value, event in INTERACTIONS:
            took = driver.execute_async_script(TIMED, control, value, event)
            print(f"{name}: {took:.0f} ms")


def picture(page: Path, output: Path, unit: str, size: tuple[int, int], scheme: str, more: str) -> None:
    """Write a picture of the page with a unit open."""
    with browser(*size, scheme) as driver:
        open_page(driver, page, unit, more)
        if not unit:
            driver.execute_script("scrollTo(0, 0)")
        output.parent.mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(output))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["measure", "picture"])
    parser.add_argument("page", type=Path)
    parser.add_argument("--unit", default="")
    parser.add_argument("--output", type=Path, default=Path("docs/explorer.png"))
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 900), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--more", default="", help="more of the address, for instance &colour=sharing")
    args = parser.parse_args()
    if args.part == "measure":
        measure(args.page)
    else:
        picture(args.page, args.output, args.unit, tuple(args.size), args.scheme, args.more)


if __name__ == "__main__":
    main()

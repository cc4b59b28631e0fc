"""The explorer in a real browser: how fast it opens and answers, and the picture of the README.

    python benchmarks/explorer.py measure results/gemma-3-270m/explorer.html
    python benchmarks/explorer.py made-up large.html        a page of 8,192 experts and 24 languages
    python benchmarks/explorer.py picture results/gemma-3-270m/explorer.html --unit L3E117

Needs chromium, chromedriver and selenium. Times are medians of five openings from disk, without a network, in
milliseconds from the start of the navigation; an interaction ends when the second frame after it is drawn.
The made-up page has made-up numbers: its size and its speed alone mean something.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
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
# layers of the slider, or keys on the map, one after the other: how long each frame takes
FRAMES = """
const [id, values, done] = arguments, control = document.getElementById(id), times = [];
control.focus();
let last = performance.now();
const step = (at) => {
  if (at === values.length) return done(times);
  if (id === "map") control.dispatchEvent(new KeyboardEvent("keydown", { key: values[at], bubbles: true }));
  else { control.value = values[at]; control.dispatchEvent(new Event("input", { bubbles: true })); }
  requestAnimationFrame(() => setTimeout(() => {
    times.push(performance.now() - last);
    last = performance.now();
    step(at + 1);
  }));
};
requestAnimationFrame(() => { last = performance.now(); step(0); });
"""
NAMES = "return Object.keys(JSON.parse(document.getElementById('contexts').textContent)).slice(0, 20)"
UNIT = """
const [name, done] = arguments, started = performance.now();
location.hash = `unit=${name}`;
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - started)));
"""
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
        names = driver.execute_script(NAMES)
        opened = [driver.execute_async_script(UNIT, name) for name in names]
        print(f"open a unit: median {statistics.median(opened):.0f} ms, longest {max(opened):.0f} ms")
        layers = driver.execute_script("return Number(document.getElementById('depth').max)")
        moves = {
            "slider": ("depth", [str(1 + step % layers) for step in range(60)]),
            "cursor on the map": ("map", ["ArrowRight", "ArrowDown"] * 30),
        }
        for name, (control, values) in moves.items():
            took = driver.execute_async_script(FRAMES, control, values)
            text = f"median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"
            print(f"{len(values)} steps of the {name}: {text}")


def write_made_up(output: Path) -> None:
    """Write a page of the shape of Llama 2 7B: 32 layers of 256 experts and 11,008 neurons, 24 languages."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.explorer_pages import SHAPE_7B, make_contexts, make_data, write_page

    data = make_data(**SHAPE_7B)
    write_page(output, data, make_contexts(data, 380))
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


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
    parser.add_argument("part", choices=["measure", "made-up", "picture"])
    parser.add_argument("page", type=Path)
    parser.add_argument("--unit", default="")
    parser.add_argument("--output", type=Path, default=Path("docs/explorer.png"))
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 900), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--more", default="", help="more of the address, for instance &colour=sharing")
    args = parser.parse_args()
    if args.part == "measure":
        measure(args.page)
    elif args.part == "made-up":
        write_made_up(args.page)
    else:
        picture(args.page, args.output, args.unit, tuple(args.size), args.scheme, args.more)


if __name__ == "__main__":
    main()

"""The annotation page in a real browser: what it shows of any text, loads, sends, and looks like."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.browser.page import choice_for, click, exported, press, reload, text

from babelscope.responses.page import read_annotation

HOSTILE = (
    "a <b>bold</b> </script><script>window.broken = 1</script>"
    "<img src=x onerror='window.broken=1'> \u2028 &lt;"
)


def test_markup_in_a_document_shows_as_text(driver, open_page):
    open_page([{"id": HOSTILE, "prompt": HOSTILE, "dense": HOSTILE, "pruned": HOSTILE}])
    for name in ("prompt-text", "left-text", "right-text"):
        assert text(driver, name) == HOSTILE
        assert driver.find_elements("css selector", f"#{name} *") == []
    assert driver.execute_script("return window.broken") is None
    assert driver.find_element("id", "same").is_displayed()


def test_items_with_the_names_of_javascript_are_items(driver, open_page, downloads):
    names = ["__proto__", "constructor", "toString"]
    open_page([{"id": name, "prompt": name, "dense": "full", "pruned": "cut"} for name in names])
    assert "item 1 of 3 · 0 judged" in text(driver, "where")
    for _ in names:
        click(driver, "judge-" + choice_for(driver, "win"))
    reload(driver)
    assert "3 judged" in text(driver, "where")
    assert read_annotation(exported(driver, downloads, "proto")).outcomes == dict.fromkeys(names, 1)


def test_an_empty_response_says_so(driver, open_page):
    open_page([{"id": "a", "prompt": "p", "dense": "", "pruned": " \n"}])
    assert text(driver, "left-text") == text(driver, "right-text") == "(empty response)"


@pytest.mark.parametrize(
    ("language", "prompt", "direction"),
    [
        ("ur", "یہ ایک مثال ہے", "rtl"),
        ("ar", "هذا مثال", "rtl"),
        ("hi", "यह एक उदाहरण है", "ltr"),
        ("zh", "例子", "ltr"),
    ],
)
def test_texts_run_in_the_direction_of_their_script(driver, open_page, language, prompt, direction):
    open_page([{"id": "a", "prompt": prompt, "dense": prompt + "1", "pruned": prompt + "2"}], language)
    for name in ("prompt-text", "left-text", "right-text"):
        element = driver.find_element("id", name)
        assert (element.get_attribute("dir"), element.get_attribute("lang")) == (direction, language)
        assert element.value_of_css_property("direction") == direction
    left, right = (driver.find_element("id", f"{side}-panel").rect["x"] for side in ("left", "right"))
    assert left < right, "A stays on the left in every script"
    assert driver.find_element("tag name", "html").get_attribute("lang") == "en"


def test_what_is_shown_does_not_tell_the_models(driver, open_page):
    open_page()
    shown = driver.execute_script("return document.documentElement.outerHTML").lower()
    assert not any(word in shown for word in ("dense", "pruned"))


def test_nothing_is_asked_from_the_network(driver, open_page, downloads):
    open_page()
    press(driver, "1")
    exported(driver, downloads, "offline")
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked, "the log has at least the page itself"
    assert {url.split(":")[0] for url in asked} <= {"file", "blob"}
    assert driver.get_log("browser") == []


def test_the_policy_keeps_the_page_from_loading_and_sending(driver, open_page):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        open_page()
        violations = driver.execute_async_script(
            """
            const [base, done] = arguments, seen = [];
            document.addEventListener("securitypolicyviolation", (event) => {
              seen.push(event.effectiveDirective);
              if (seen.length === 4) done(seen);
            });
            fetch(base + "/fetch").catch(() => {});
            new Image().src = base + "/image";
            const outer = document.createElement("script");
            outer.src = base + "/script";
            const inline = document.createElement("script");
            inline.textContent = "window.broken = 1";
            document.body.append(outer, inline);
            setTimeout(() => done(seen), 5000);
            """,
            f"http://127.0.0.1:{server.server_port}",
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert sorted(violations) == ["connect-src", "img-src", "script-src-elem", "script-src-elem"]
    assert asked == []
    assert driver.execute_script("return window.broken") is None


def test_a_phone_shows_the_responses_one_below_the_other(driver, open_page):
    long_word = "x" * 300
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        open_page([{"id": "a", "prompt": long_word, "dense": long_word, "pruned": long_word * 9}])
        left, right = (driver.find_element("id", f"{side}-panel").rect for side in ("left", "right"))
        assert left["x"] == right["x"] and left["y"] + left["height"] <= right["y"]
        assert driver.execute_script("return document.documentElement.scrollWidth") == 360
        buttons = driver.find_elements("css selector", ".judge button")
        assert all(button.rect["height"] >= 44 for button in buttons)
        click(driver, "judge-right")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(driver, open_page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        open_page()
        ratios = driver.execute_script(
            """
            const style = getComputedStyle(document.documentElement);
            const luminance = (name) => {
              const hex = style.getPropertyValue(name).trim().slice(1);
              const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const pairs = [["--ink", "--surface"], ["--ink", "--wash"], ["--ink", "--sunken"],
              ["--muted", "--page"], ["--muted", "--surface"], ["--muted", "--sunken"], ["--muted", "--wash"],
              ["--on-accent", "--accent"], ["--warn", "--page"]];
            return pairs.map(([a, b]) => {
              const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
              return (high + 0.05) / (low + 0.05);
            });
            """
        )
        background = driver.find_element("tag name", "body").value_of_css_property("background-color")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert min(ratios) >= 4.5, "WCAG 2.2, success criterion 1.4.3"
    assert background == {"light": "rgba(245, 244, 240, 1)", "dark": "rgba(21, 24, 27, 1)"}[scheme]

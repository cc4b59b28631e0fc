"""Readers with any colour vision can tell the page's colours apart; text stands out from its background."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from tests.explorer_pages import PAGE

# Severe deficiencies in linear RGB (Machado, Oliveira and Fernandes 2009, "A physiologically-based model for
# simulation of color vision deficiency").
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]
    ],
}  # fmt: skip
STYLE = (PAGE / "page.css").read_text(encoding="utf-8")
LIGHT = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE[: STYLE.index("data-theme")]))
DARK = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE[STYLE.index('"dark"]') : STYLE.index("@media")]))
# bars, the two controls and the threshold stand in one chart
CHART = ("bar", "c0", "c1", "threshold")


def linear(colour):
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    share = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(a), linear(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_both_themes_set_the_same_colours_and_text_can_be_read(theme):
    assert set(LIGHT) == set(DARK)
    for ink, paper in itertools.product(("ink", "muted", "accent"), ("page", "surface", "wash")):
        assert contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)
    assert contrast(theme["ink"], theme["mark"]) >= 4.5
    for drawn in (*CHART, "whisker"):
        assert contrast(theme[drawn], theme["surface"]) >= 3, drawn


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_bars_and_controls_differ_in_every_colour_vision(theme, vision):
    seen = {name: lab(np.asarray(VISIONS[vision]) @ linear(theme[name])) for name in ("bar", "c0", "c1")}
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 12, (a, b)


@pytest.mark.parametrize("vision", VISIONS)
def test_the_map_grows_brighter_in_every_colour_vision(vision):
    stops = re.search(r"STOPS = \[(.*?)\];", (PAGE / "colour.js").read_text(encoding="utf-8"), re.DOTALL)[1]
    colours = ["#" + bytes(map(int, row)).hex() for row in re.findall(r"\[(\d+), (\d+), (\d+)\]", stops)]
    lightness = [lab(np.asarray(VISIONS[vision]) @ linear(colour))[0] for colour in colours]
    assert len(lightness) == 10 and min(np.diff(lightness)) > 4

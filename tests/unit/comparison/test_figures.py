"""Figures: what they show is what was computed, comparable where they are meant to be compared."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread
from tests.support import ROOT

from babelscope.comparison.figures import frequency_figures, plot_sharing, similarity_figures
from babelscope.comparison.sharing import count_sharing
from babelscope.comparison.similarity import compare_languages
from babelscope.figures.style import Look, new_figure, save_figure
from babelscope.study.errors import BabelscopeError

SCRIPTS = ROOT / "workflow" / "scripts"
NAMES = ["English", "French", "Hindi"]
LOOK = Look("viridis", 50)


@pytest.fixture
def frequency():
    return np.random.default_rng(0).random((3, 4, 16)) * 0.3


def image_of(figure):
    return figure.axes[0].images[0]


def text_of(figure):
    labels = [axes.get_title() + axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes]
    return " ".join(labels)


def test_frequency_figures_have_one_colour_scale(frequency):
    frequency[1] *= 0.1
    figures = list(frequency_figures(frequency, NAMES, "tiny", LOOK))
    limits = {image_of(figure).get_clim() for figure in figures}
    assert limits == {(0.0, float(np.quantile(frequency, 0.98)))}


def test_a_frequency_figure_shows_every_expert_of_every_layer(frequency):
    for matrix, name, figure in zip(
        frequency, NAMES, frequency_figures(frequency, NAMES, "tiny", LOOK), strict=True
    ):
        shown = np.asarray(image_of(figure).get_array())
        assert shown.shape == (4, 16)
        np.testing.assert_allclose(np.sort(shown, axis=1), np.sort(matrix, axis=1))
        assert name in text_of(figure) and "tiny" in text_of(figure)
        assert "expert" in text_of(figure) and "layer" in text_of(figure)


def test_alike_is_bright_in_every_measure(frequency):
    similarity = compare_languages(frequency, np.full(3, 100))
    for measure, figure in zip(
        ("euclidean", "kl", "pearson"), similarity_figures(similarity, NAMES, "tiny", LOOK), strict=True
    ):
        matrix = similarity[measure].copy()
        np.fill_diagonal(matrix, np.nan)
        image = image_of(figure)
        best, worst = (np.nanargmin, np.nanargmax) if measure != "pearson" else (np.nanargmax, np.nanargmin)
        brightness = [sum(image.cmap(image.norm(matrix.flat[pick(matrix)]))[:3]) for pick in (best, worst)]
        assert brightness[0] > brightness[1], measure
        assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == NAMES
        numbers = {text.get_text() for text in figure.axes[0].texts}
        assert f"{similarity[measure][0, 2]:.2f}" in numbers


def test_two_languages_alike_in_everything_can_be_drawn(frequency):
    similarity = compare_languages(np.stack([frequency[0]] * 2), np.full(2, 100))
    for figure in similarity_figures(similarity, NAMES[:2], "tiny", LOOK):
        figure.canvas.draw()


def test_sharing_is_shown_by_expert_and_by_layer(frequency):
    sharing = count_sharing(frequency, 0.1)
    figure = plot_sharing(sharing.n_languages_high, 3, 0.1, "tiny", LOOK)
    shown = np.asarray(image_of(figure).get_array())
    np.testing.assert_array_equal(np.sort(shown, axis=1), np.sort(sharing.n_languages_high, axis=1))
    by_layer = {line.get_label(): line.get_xdata() for line in figure.axes[1].lines}
    np.testing.assert_allclose(by_layer["all languages"], (sharing.n_languages_high == 3).mean(axis=1))
    np.testing.assert_allclose(by_layer["one language"], (sharing.n_languages_high == 1).mean(axis=1))
    assert "0.1" in text_of(figure)


def test_the_default_colour_map_gets_brighter_from_end_to_end():
    colours = colormaps[Look().colormap](np.linspace(0, 1, 64))[:, :3]
    luminance = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_a_figure_is_saved_as_png_and_svg_with_its_letters(tmp_path):
    figure, axes = new_figure(4, 3)
    axes.set_title("Español and English")
    paths = [tmp_path / "a.png", tmp_path / "a.svg"]
    save_figure(figure, paths, Look(dpi=100))
    height, width = imread(paths[0]).shape[:2]
    assert (width, height) == (400, 300)
    text = "".join(ET.parse(paths[1]).getroot().itertext())
    assert "Español and English" in text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_a_figure_is_the_same_file_every_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        figure, axes = new_figure(4, 3)
        axes.plot([1, 2, 3])
        save_figure(figure, [tmp_path / name], LOOK)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_unknown_colour_map_is_named():
    with pytest.raises(BabelscopeError, match=r"figures\.colormap 'veridis' is no colour map of matplotlib"):
        Look("veridis")


# Rules whose jobs may load torch: they run the model. A new rule that does has to join.
RUN_THE_MODEL = {
    "check_model",
    "compensate",
    "distil",
    "evaluate_ablations",
    "evaluate_matrix",
    "evaluate_pruning",
    "evaluate_routed",
    "evaluate_selectors",
    "export_pruned",
    "export_routed",
    "generate_responses",
    "measure_layer_costs",
    "measure_perplexity",
    "measure_pruning_speed",
    "record_activations",
    "record_sweep",
    "score_routed_experts",
    "trace_frontier",
}


def test_analysis_figures_and_clustering_never_load_torch():
    """Adaptors import at their top what they need, so importing them is enough to see."""
    names = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem not in RUN_THE_MODEL)
    program = """
import runpy, sys
for name in sys.argv[1:]:
    runpy.run_path(name + ".py")
    loaded = {"torch", "transformers"} & set(sys.modules)
    if loaded:
        sys.exit(f"{name} loads {loaded}")
"""
    command = [sys.executable, "-c", program, *names]
    result = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True)
    assert {"cluster_layer", "compare_languages", "plot_similarity", "tabulate_matrix"} <= set(names)
    assert result.stderr == ""

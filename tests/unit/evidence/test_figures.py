"""Figures of the evidence say what their tables say."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence import intervals, noise_floor
from babelscope.evidence.corpus_distances import second_corpora
from babelscope.evidence.draws import draw
from babelscope.evidence.families import relate_to_families
from babelscope.evidence.figures.every import evidence_figures
from babelscope.evidence.figures.experts import model_figures, plot_robustness
from babelscope.evidence.layers import tabulate_layers
from babelscope.evidence.models import compare_models
from babelscope.evidence.predictors import differs, genealogical_distance
from babelscope.evidence.replicates import corrected_distances, replicate_claims, study_settings
from babelscope.evidence.specificity import index_experts
from babelscope.figures.style import Look
from babelscope.files.tables import plain_rows

NAMES = [row.name for row in PAPER_LANGUAGES]


@pytest.fixture(scope="module")
def study():
    """Records of a study of nine languages with families, as they are read from their files."""
    rng = np.random.default_rng(0)
    counts = draw_counts(rng, draw_truth(rng, GENERA, n_layers=4, family=0.6), n_blocks=12)
    draws, settings = draw(counts, CODES, 60, 0), study_settings(0.05, [])
    replicates = replicate_claims(draws, PAPER_LANGUAGES, settings, by_layer=True)
    floor = noise_floor.measure_noise_floor(counts, CODES, 10, 0)
    curve = noise_floor.learning_curve(counts, CODES, 10, 0)
    distances = corrected_distances(replicates)
    second = second_corpora(counts, CODES, {}, 60, 0)
    noise, points = intervals.tabulate_noise(floor, curve, distances["euclidean"], CODES, second)
    predictors = {
        "genealogy": genealogical_distance(PAPER_LANGUAGES),
        "script": differs(PAPER_LANGUAGES, "script"),
    }
    tests = relate_to_families(distances, PAPER_LANGUAGES, predictors, 0)
    index = index_experts(counts, PAPER_LANGUAGES, 0.05)
    experts = {"layer": index.layer.tolist(), "class": index.kind, "group": index.group}
    verdict = {
        "id": "c.s",
        "variant": "random",
        "statistic": "s",
        "verdict": "does not hold",
        "change": "flips",
    }
    pairs = intervals.tabulate_pairs(replicates, floor, CODES)
    tables = {
        "pairs": pairs,
        "noise": noise,
        "curve": points,
        "layers": plain_rows(tabulate_layers(replicates, CODES)),
        "claims": [{"id": "c.s", "statistic": "s", "verdict": "holds"}],
        "robustness": [verdict],
    }
    trees = {
        name: intervals.dendrogram_json(tree, CODES)
        for name, tree in intervals.grow_trees(replicates).items()
    }
    return tables, trees, floor, distances, tests, experts


@pytest.fixture(scope="module")
def figures(study):
    tables, trees, _, distances, tests, experts = study
    yield dict(evidence_figures(tables, experts, distances, tests, trees, PAPER_LANGUAGES, "tiny", Look()))
    plt.close("all")


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_set_is_what_the_rule_promises(figures):
    measured = [
        f"evidence_{kind}_{m}" for m in ("euclidean", "kl", "pearson") for kind in ("dendrogram", "distances")
    ]
    others = ["learning_curve", "families", "layers", "experts", "robustness"]
    assert set(figures) == {*measured, *(f"evidence_{name}" for name in others)}


def test_the_floor_stands_on_the_diagonal_of_the_distances(study, figures):
    _, trees, floor, distances, *_ = study
    for measure, distance in distances.items():
        left, right, *_ = figures[f"evidence_dendrogram_{measure}"].axes
        order = trees[measure]["order"]
        shown = right.images[0].get_array()
        np.testing.assert_allclose(np.diag(shown), floor.full[measure][order], rtol=1e-4)
        apart = ~np.eye(9, dtype=bool)
        np.testing.assert_allclose(shown[apart], distance[np.ix_(order, order)][apart], rtol=1e-4)
        assert ticks(right.yaxis) == ticks(right.xaxis) == [NAMES[idx] for idx in order]
        # leaves of the tree stand beside the rows of their languages
        assert left.get_ylim() == (90, 0) and right.get_ylim() == (8.5, -0.5)


def test_every_language_has_its_eight_distances_over_its_floor(study, figures):
    axes = figures["evidence_distances_euclidean"].axes[0]
    assert ticks(axes.yaxis) == NAMES
    bars = [patch.get_width() for patch in axes.patches]
    np.testing.assert_allclose(bars, study[2].full["euclidean"], rtol=0.2)
    markers = [line for line in axes.lines if line.get_marker() != "None"]
    assert len(markers) == 9 * 8


def test_family_tests_are_drawn_at_their_effects(study, figures):
    axes = figures["evidence_families"].axes[0]
    drawn = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() != "None")
    np.testing.assert_allclose(drawn, sorted(test.effect for test in study[4]))
    assert "genealogy | script" in ticks(axes.yaxis)


def test_a_verdict_that_flips_is_framed(figures):
    axes = figures["evidence_robustness"].axes[0]
    assert ticks(axes.xaxis) == ["main", "random"]
    assert [text.get_text() for text in axes.texts] == ["✓", "✗"]
    frame = axes.lines[0].get_xydata()
    np.testing.assert_allclose(frame.mean(axis=0)[1], 0, atol=0.2)
    assert frame[:, 0].min() > 0.5


def test_a_sweep_is_drawn_as_robustness_is():
    rows = [{"id": "c.s", "variant": "top_20", "statistic": "s", "verdict": "undecided", "change": "loses"}]
    figure = plot_robustness(rows, [{"id": "c.s", "verdict": "holds"}], "tiny")
    assert not figure.axes[0].lines
    plt.close(figure)


def test_two_models_are_laid_on_each_other(study):
    distance = study[3]["euclidean"]
    agreement = [compare_models("a", "b", "euclidean", distance, 3 * distance, 0)]
    distances = {"a": {"euclidean": distance}, "b": {"euclidean": 3 * distance}}
    ((name, figure),) = model_figures(agreement, distances, PAPER_LANGUAGES)
    assert name == "a_b"
    left, right = figure.axes[:2]
    assert {text.get_text() for text in left.texts} == set(NAMES)
    assert "Procrustes fit 1.00" in left.get_title()
    assert sum(len(line.get_xdata()) for line in right.lines) == 36
    plt.close(figure)

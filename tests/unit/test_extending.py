"""A measure, a cut and a choice of experts come from outside of the package, as one row each."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from tests.support import ROOT, merged

from babelscope.comparison.figures import similarity_figures
from babelscope.comparison.measures import MEASURES, Measure, as_distances, mean_of_layers
from babelscope.comparison.similarity import compare_languages, read_similarity, write_similarity
from babelscope.experts.clustering import CUTS, cluster_neurons
from babelscope.experts.clustering.controls import contiguous_labels
from babelscope.experts.clustering.cuts import Cut, Found
from babelscope.experts.figures import plot_clustering
from babelscope.experts.layer_file import LayerSse
from babelscope.figures.style import Look
from babelscope.model.families import FAMILIES
from babelscope.pruning.budgets import BUDGETS
from babelscope.pruning.choice import CHOICES, ExpertChoice, choose_experts
from babelscope.pruning.columns import COMPENSATIONS
from babelscope.pruning.figures import plot_frontier
from babelscope.pruning.frontier import frontier_methods
from babelscope.pruning.routed_choice import ROUTED_SELECTORS
from babelscope.pruning.selectors import SELECTORS
from babelscope.study.configuration import check_config
from babelscope.study.errors import BabelscopeError
from babelscope.study.generated import schema
from babelscope.study.languages import read_languages

FREQUENCY = np.random.default_rng(0).random((3, 2, 8))
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def cosine(first, second):
    """Cosine of the angle between two rows, by layer."""
    a, b = (
        stack.by_layer / np.linalg.norm(stack.by_layer, axis=-1, keepdims=True) for stack in (first, second)
    )
    return a @ np.swapaxes(b, -1, -2)


@pytest.fixture
def measure(monkeypatch):
    row = Measure(
        "Cosine of activation frequencies",
        "mean over layers",
        "1 - cosine",
        cosine,
        mean_of_layers,
        lambda total: 1 - total,
        small_is_similar=False,
        high=1.0,
    )
    monkeypatch.setitem(MEASURES, "cosine", row)


def by_length(rows, n_experts, rng, backend):
    """Neurons of similar length together."""
    labels = np.empty(rows.n_neurons, dtype=np.int64)
    labels[np.linalg.norm(rows.points[:-1], axis=1).argsort()] = contiguous_labels(rows.n_neurons, n_experts)
    return Found(labels)


@pytest.fixture
def cut(monkeypatch):
    monkeypatch.setitem(CUTS, "by_length", Cut("similar length", by_length, searches=False))


@pytest.fixture
def choice(monkeypatch):
    row = ExpertChoice("even numbers", lambda f, threshold, share: np.indices(f.shape)[1] % 2 == 0)
    monkeypatch.setitem(CHOICES, "even_numbers", row)


def test_a_new_measure_is_computed_stored_drawn_and_in_the_schema(measure, tmp_path):
    similarity = compare_languages(FREQUENCY, np.full(3, 100))
    flat = FREQUENCY[:, 0], FREQUENCY[:, 1]
    norms = [np.linalg.norm(part, axis=1) for part in flat]
    expected = np.mean([part @ part.T / np.outer(n, n) for part, n in zip(flat, norms, strict=True)], axis=0)
    np.testing.assert_allclose(similarity["cosine"], expected)
    np.testing.assert_allclose(as_distances(similarity.matrices)["cosine"], 1 - expected, atol=1e-12)
    tables = [tmp_path / f"{name}.csv" for name in MEASURES]
    write_similarity(tmp_path / "similarity.h5", tables, similarity, ["en", "fr", "hi"], "tiny")
    read, languages = read_similarity(tmp_path / "similarity.h5", "tiny")
    assert languages == ["en", "fr", "hi"]
    np.testing.assert_array_equal(read["cosine"], similarity["cosine"])
    assert (tmp_path / "cosine.csv").read_text(encoding="utf-8").startswith("language,en,fr,hi\nen,1,")
    titles = [f.axes[0].get_title() for f in similarity_figures(similarity, languages, "tiny", Look(dpi=40))]
    assert titles[-1] == "Cosine of activation frequencies\ntiny"
    assert schema()["$defs"]["measure"]["enum"] == ["euclidean", "kl", "pearson", "cosine"]


def test_a_new_choice_is_chosen_by_drawn_and_in_the_schema(choice, tmp_path):
    keep = choose_experts(FREQUENCY[0], "even_numbers", 0.05, 0.5)
    assert keep.tolist() == [[True, False] * 4] * 2
    assert "even_numbers" in frontier_methods()
    rows = [
        {"language": "en", "method": method, "share": share, "ffn_parameters_kept": share, "nll": 3 - share}
        for method in ("dense", "even_numbers")
        for share in (0.5, 1.0)
    ]
    figure = plot_frontier(rows, {"en": "English"}, "tiny")
    assert "even numbers" in [text.get_text() for text in figure.legends[0].get_texts()]
    path = tmp_path / "config.schema.yaml"
    path.write_text(yaml.safe_dump(schema()), encoding="utf-8")
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    config = merged(config, {"pruning": {"method": "even_numbers"}})
    codes = read_languages(ROOT / "resources" / "languages.tsv")
    check_config(config, path, codes)
    with pytest.raises(BabelscopeError, match="'even_numbers' is not allowed; need one of"):
        check_config(config, ROOT / "config" / "config.schema.yaml", codes)


def test_a_new_cut_is_made_drawn_and_in_the_schema_as_method_and_as_control(cut):
    rows = np.array([[1.0], [-1], [20], [-20]])
    result = cluster_neurons(rows, 2, "by_length")
    assert (result.labels[0] == result.labels[1]) and (result.labels[2] == result.labels[3])
    sums = np.array([1.0, 2]), np.array([2.0, 4]), np.array([0.5, 1])
    labels = [
        line.get_label() for line in plot_clustering(LayerSse("by_length", *sums), "tiny").axes[0].lines
    ]
    assert "similar length, equal sizes" in labels
    sections = schema()["properties"]
    assert "by_length" in sections["experts"]["properties"]["method"]["enum"]
    assert "by_length" in sections["recording"]["properties"]["controls"]["items"]["enum"]


EVERY_TABLE = (
    *(MEASURES, CUTS, CHOICES, FAMILIES),
    *(SELECTORS, ROUTED_SELECTORS, BUDGETS, COMPENSATIONS),
)


@pytest.mark.parametrize("table", EVERY_TABLE)
def test_the_page_lists_every_row(table):
    assert table
    for name in table:
        assert f"`{name}`" in PAGE, name

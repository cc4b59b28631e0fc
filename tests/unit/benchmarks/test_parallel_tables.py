"""Tables of the documents out of a run's files."""

from benchmarks.parallel_tables import interval, matrix, verdict

from babelscope.files.tables import write_table
from babelscope.pruning.paired_matrix import PAIRED_COLUMNS


def row(a, b, low, selection="same_size_corrected"):
    keys = {"selection": selection, "language_a": a, "language_b": b, "n_sentences": 89}
    return {**keys, "advantage": low + 1, "low": low, "high": low + 2}


def test_pairs_of_languages_are_counted_by_the_side_that_their_interval_lies_on(tmp_path):
    rows = [row("en", "fr", 0.5), row("en", "hi", -0.5), row("fr", "hi", -4), row("all pairs", "", -1)]
    write_table(tmp_path / "pruning_matrix_paired.csv", rows, PAIRED_COLUMNS)
    # English reads English best, French reads French second
    losses = {("en", "en"): 5.0, ("en", "fr"): 6.0, ("fr", "en"): 4.0, ("fr", "fr"): 4.5}
    cells = [
        {"language": a, "experts_of": b, "selection": "same_size_corrected", "nll": nll}
        for (a, b), nll in losses.items()
    ]
    write_table(tmp_path / "pruning_matrix.csv", cells, tuple(cells[0]))
    text = matrix(tmp_path)
    assert "| `same_size_corrected` | 0.00 [-1.00, 1.00] | 1 | 1 | 1 | 1.5 |" in text
    assert "| en | 1.5 [0.5, 2.5] | 0.5 [-0.5, 1.5] |" in text
    assert "| fr |  | -3.0 [-4.0, -2.0] |" in text


def test_a_cell_says_value_interval_and_verdict():
    found = {"value": "0.263", "low": "0.2", "high": "0.31", "verdict": "holds"}
    assert verdict(found) == "0.26 [0.20, 0.31] **holds**"
    assert verdict(found | {"low": "", "verdict": "undecided"}) == "p = 0.263 undecided"
    assert verdict(None) == "-" and interval({"x": "2", "low": ""}, "x") == "2.00"

"""The recordings of the languages are those of the languages."""

import numpy as np
import pytest

from babelscope.recording.counts import ActivationCounts, read_recordings, write_activations
from babelscope.study.errors import BabelscopeError


def test_two_languages_whose_files_were_swapped_are_named(tmp_path):
    for code, n_active in (("en", 3), ("hi", 5)):
        counts = ActivationCounts(np.full((1, 1, 2), n_active), np.array([n_active]), 2)
        write_activations(tmp_path / f"{code}.h5", counts, "tiny", code)
    paths = [tmp_path / "en.h5", tmp_path / "hi.h5"]
    found = read_recordings(paths, "tiny", ["en", "hi"])
    assert [int(count.n_tokens[0]) for count in found] == [3, 5]
    with pytest.raises(BabelscopeError, match=r"hi\.h5: made with language = 'hi', this run has 'en'"):
        read_recordings(paths[::-1], "tiny", ["en", "hi"])

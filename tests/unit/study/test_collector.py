"""The garbage collector is paused for a while and goes on as before, whatever happens."""

import gc

import pytest

from babelscope.study.collector import paused_collector


def test_no_cycle_is_collected_within_and_the_collector_goes_on_after_an_error():
    assert gc.isenabled()
    with pytest.raises(KeyError), paused_collector():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with paused_collector(), paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

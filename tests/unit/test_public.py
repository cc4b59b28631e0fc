"""``import babelscope`` gives a few names, and loads what they need when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import babelscope


@pytest.mark.parametrize("name", [name for name in babelscope.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_says_what_it_does(name):
    assert getattr(babelscope, name).__doc__


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'reed_tokens'"):
        _ = babelscope.reed_tokens


def test_importing_the_package_loads_nothing_else():
    code = "import babelscope, sys; print({'torch', 'numpy', 'sklearn'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"

"""Babelscope: which parts of a multilingual language model work for which language."""

__version__ = "0.1.0"

"""The style that all figures share, and saving them.

Takes: sizes, a look, figures of matplotlib.
Gives: new figures in one style; PNG and SVG files.
Never imports: torch, transformers, h5py.
"""

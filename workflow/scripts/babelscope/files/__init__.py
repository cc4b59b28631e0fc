"""Files that are whole and say what they are: HDF5 by kind, tables, JSON, files of installed packages.

Takes: arrays and the declaration of a kind; paths.
Gives: sealed files, readers that ask by name, the page docs/files.md.
Never imports: torch, transformers, matplotlib.
"""

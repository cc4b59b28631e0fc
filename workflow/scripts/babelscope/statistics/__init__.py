"""Bootstrap, permutation tests, ratios, agreement of maps; nothing in here knows of languages.

Takes: arrays of numbers, seeds.
Gives: intervals, p-values, effect sizes.
Never imports: torch, transformers, matplotlib, h5py.
"""

"""Which of the study's findings are larger than noise, and against which control.

Takes: counts of all languages and control partitions, tables of pruning, the paper's claims.
Gives: intervals, tests, verdicts (`claims.csv`), the page and figures of the evidence.
Never imports: torch, transformers, h5py.
"""

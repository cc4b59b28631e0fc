"""The base of every stage: configuration, languages, resources, code digest, jobs, GPUs, errors.

Takes: the merged configuration, a rule's script, the `snakemake` object of a job.
Gives: a checked configuration, tables of languages, digests, errors with a cure.
Never imports: torch, transformers, matplotlib, numpy, h5py.
"""

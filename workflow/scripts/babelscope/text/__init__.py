"""Documents of every language as tokens of a model, in batches.

Takes: files, packages or data sets of text; a prepared model's tokenizer.
Gives: `corpora/{lang}.jsonl`, `TokenizedCorpus`, batches that fit into memory.
Never imports: matplotlib, h5py.
"""

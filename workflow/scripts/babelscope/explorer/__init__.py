"""What a person looks at: what single units do in every language, on one page.

Takes: counts, peaks and statistics of neurons of all languages, tokens, texts, tables of earlier stages.
Gives: `contexts/{lang}.jsonl`, `explorer.html`.
Never imports: matplotlib, h5py.
"""

"""How often each expert is active for the tokens of a language.

Takes: a loaded model, tokens, partitions.
Gives: `ActivationCounts` per block of documents, `activations/{lang}.h5`, checks against a reference.
Never imports: matplotlib, h5py.
"""

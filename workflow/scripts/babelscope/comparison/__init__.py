"""Languages compared by their activation frequencies; experts that they share.

Takes: `ActivationCounts` of several languages.
Gives: frequencies, `Similarity` by every measure, `Sharing`, heat maps.
Never imports: torch, transformers, h5py.
"""

"""A model from a hub, a folder or a package, ready in a local folder and loaded.

Takes: an entry of `model_definitions`, weights, `model.json`.
Gives: `ModelInfo`, a loaded model with its feed-forward layers, rows of weights.
Never imports: matplotlib, h5py.
"""

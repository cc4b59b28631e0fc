"""Models with some experts only: choice, compensation, loss, speed, export.

Takes: frequencies, tokens, a loaded model.
Gives: `PruningPlan`, held-out losses, smaller checkpoints, tables and figures.
Never imports: h5py.
"""

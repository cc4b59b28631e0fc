"""Which expert each neuron of a feed-forward layer belongs to.

Takes: rows of weights.
Gives: labels per layer, `ExpertPartition`, control partitions, the figure of their quality.
Never imports: transformers, h5py.
"""

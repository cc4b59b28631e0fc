"""Functions of wildcards for the rules of stage experts; no rules."""


def layer_files(wildcards):
    """One file per layer of the model."""
    n_layers = definition(wildcards)["n_layers"]
    return [
        f"results/{wildcards.model}/experts/layer_{layer:02d}.h5"
        for layer in range(n_layers)
    ]

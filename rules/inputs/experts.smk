"""Functions of wildcards for the rules of stage experts; no rules."""


def layer_files(wildcards):
    """One file per layer of the model."""
    n_layers = definition(wildcards)["n_layers"]
    return [
        f"results/{wildcards.model}/experts/layer_{layer:02d}.h5"
        for layer in range(n_layers)
    ]


def layer_groups(size):
    """Model, first layer and files of each group of so many layers, of all models."""
    for model in MODELS:
        n_layers = config["model_definitions"][model]["n_layers"]
        for first in range(0, n_layers, size):
            layers = range(first, min(first + size, n_layers))
            yield model, f"{first:02d}", [
                f"results/{model}/experts/layer_{layer:02d}.h5" for layer in layers
            ]

"""Functions of wildcards for the rules of stage model; no rules."""


def definition(wildcards):
    """The configuration of one model."""
    return config["model_definitions"][wildcards.model]


def compute_settings(wildcards):
    """How one model computes, as far as it can change a result in the last bit."""
    keys = ("dtype", "device", "device_map", "compile", "tokens_per_batch")
    return {key: definition(wildcards)[key] for key in keys}


def local_weights(wildcards):
    """Digest of the weights in a local folder: others prepare the model again, a copy of the same does not."""
    path = definition(wildcards)["source"].get("path")
    return weights_digest(path, NOTES) if path and Path(path).is_dir() else ""

"""Functions of wildcards for the rules of stage model; no rules."""


def definition(wildcards):
    """The configuration of one model."""
    return config["model_definitions"][wildcards.model]


def compute_settings(wildcards):
    """How one model computes, as far as it can change a result in the last bit."""
    keys = ("dtype", "device", "device_map", "compile", "tokens_per_batch")
    return {key: definition(wildcards)[key] for key in keys}

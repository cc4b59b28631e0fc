"""Functions of wildcards for the rules of stage responses; no rules."""


def annotation_files(wildcards):
    """Files that annotators of a model have exported from their pages."""
    pattern = config["responses"]["annotations"].replace("{model}", wildcards.model)
    return sorted(glob.glob(pattern, recursive=True))

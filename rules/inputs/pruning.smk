"""Functions of wildcards for the rules of stage pruning; no rules."""


def of_members(pattern):
    """One file for each language that a pruned model serves."""
    return lambda wildcards: collect(
        pattern, model=wildcards.model, lang=TARGETS[wildcards.target]
    )

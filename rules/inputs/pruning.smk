"""Functions of wildcards for the rules of stage pruning; no rules."""


def of_members(pattern):
    """One file for each language that a pruned model serves."""
    return lambda wildcards: collect(
        pattern, model=wildcards.model, lang=TARGETS[wildcards.target]
    )


def others_of(target):
    """The languages that are pooled into the fit of a pruned model: none, or all that it does not serve."""
    pooled = config["pruning"]["pooled_documents"] > 0
    return [lang for lang in LANGUAGES if pooled and lang not in TARGETS[target]]


def of_others(pattern):
    """One file for each language that is pooled into the fit of a pruned model."""
    return lambda wildcards: collect(
        pattern, model=wildcards.model, lang=others_of(wildcards.target)
    )

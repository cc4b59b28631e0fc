"""Functions of wildcards for the rules of stage evidence; no rules."""


def recordings_of(variants):
    """Recordings of all languages, one named input per variant."""
    return {
        variant: collect(
            "results/{{model}}/variants/{variant}/activations/{lang}.h5",
            variant=variant,
            lang=LANGUAGES,
        )
        for variant in variants
    }

"""What the rules of stage evidence are given: functions of wildcards, no rules."""


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

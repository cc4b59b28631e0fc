"""Functions for the rules of stage corpora; no rules."""


def corpus_sets():
    """Domains and derived corpora by name: their nodes, and how their claims are judged."""
    sets = {
        name: {"corpora": nodes, "domain": True, "latin": False, "texts": True}
        for name, nodes in DOMAINS.items()
    }
    for name, nodes in DERIVED.items():
        how = config["corpus"]["derive"][name]["how"]
        texts = not how.endswith("_tokens")
        sets[name] = {
            "corpora": nodes,
            "domain": False,
            "latin": how == "romanise",
            "texts": texts,
        }
    return sets

"""Functions of wildcards for the rules of stage text; no rules."""


def nodes_of(section):
    """By name of a domain or of a derived corpus its nodes, {lang}.{name}, of the languages that have it."""
    return {
        name: [f"{lang}.{name}" for lang in entry.get("languages", LANGUAGES)]
        for name, entry in config["corpus"][section].items()
    }


def one_of(names):
    """Constraint of a wildcard that is one of some names; nothing where there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def base_of(wildcards):
    """The language that a node is of: hi of hi.romanised."""
    return wildcards.lang.partition(".")[0]


def corpus_source(wildcards):
    """The source of one language: its own, or the default; of a node {lang}.{domain} that of the domain."""
    lang, _, name = wildcards.lang.partition(".")
    corpus = config["corpus"]["domains"][name] if name else config["corpus"]
    source = dict(corpus["sources"].get(lang, corpus["sources"]["default"]))
    if "locales" in source:
        # its own alone: another language's locale changes nothing here
        source["locales"] = {k: v for k, v in source["locales"].items() if k == lang}
    return source


def corpus_files(wildcards):
    """Local files of one language: an edited file has its documents sampled again."""
    pattern = corpus_source(wildcards).get("files", "")
    paths = sorted(
        path
        for path in glob.glob(
            pattern.replace("{lang}", base_of(wildcards)), recursive=True
        )
        if Path(path).is_file()
    )
    require_printable(paths)
    if "columns" not in corpus_source(wildcards):
        for path in paths:
            ending_of(Path(path))
    return paths


def derivation(wildcards):
    """How a derived corpus is made: an entry of corpus.derive, but for the languages that have it."""
    entry = config["corpus"]["derive"][wildcards.lang.partition(".")[2]]
    return {key: value for key, value in entry.items() if key != "languages"}


def other_tokens(wildcards):
    """Tokens of the language that a derived corpus shares tokens with, or not."""
    other = derivation(wildcards).get("other")
    return f"results/{wildcards.model}/tokens/{other}.h5" if other else []

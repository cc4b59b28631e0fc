"""Functions of wildcards for the rules of stage text; no rules."""


def corpus_source(wildcards):
    """The source of one language: its own, or the default."""
    sources = config["corpus"]["sources"]
    return sources.get(wildcards.lang, sources["default"])


def corpus_files(wildcards):
    """Local files of one language: an edited file has its documents sampled again."""
    pattern = corpus_source(wildcards).get("files", "")
    paths = sorted(
        path
        for path in glob.glob(pattern.replace("{lang}", wildcards.lang), recursive=True)
        if Path(path).is_file()
    )
    require_printable(paths)
    if "columns" not in corpus_source(wildcards):
        for path in paths:
            ending_of(Path(path))
    return paths

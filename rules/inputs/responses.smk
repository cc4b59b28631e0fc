"""Functions of wildcards for the rules of stage responses; no rules."""


def annotation_files(wildcards):
    """Files that annotators of a model have exported from their pages."""
    pattern = config["responses"]["annotations"].replace("{model}", wildcards.model)
    return require_printable(sorted(glob.glob(pattern, recursive=True)))


def judged_responses(wildcards):
    """Responses of the languages that annotators judged: the pages that the files must be of follow from them."""
    languages = set()
    for path in annotation_files(wildcards):
        try:
            languages.add(json.loads(Path(path).read_text("utf-8"))["language"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            # the job says what is wrong with the file
            continue
    return [
        f"results/{wildcards.model}/responses/{lang}.jsonl"
        for lang in LANGUAGES
        if lang in languages
    ]

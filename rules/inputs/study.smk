"""What the rules of all stages are given: where the workflow lies, digests of code, the look of figures."""


def workflow_folder(rules_folder):
    """Folder of the workflow on disk.

    Where Snakemake takes its files out of a git repository (``github(...)``, ``gitlab(...)``, ``git+file:``) one by
    one, the library would be missing beside the scripts: the commit is unpacked once, into .snakemake/ of the project.
    """
    if not hasattr(rules_folder, "ref"):
        return Path(rules_folder.get_path_or_uri(secret_free=False)).parent
    hosted = getattr(rules_folder, "hosted_repo", None)
    repository = hosted.repo_clone if hosted else rules_folder.repo_path
    git = ["git", "-C", str(repository)]
    name = subprocess.check_output(
        [*git, "rev-parse", f"{rules_folder.ref}^{{commit}}"], text=True
    )
    folder = Path(".snakemake", "babelscope", name.strip()).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        packed = subprocess.check_output(
            [*git, "archive", "--format=tar", name.strip()]
        )
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(Path(temporary, "tree"), filter="data")
            try:
                Path(temporary, "tree").rename(folder)
            except OSError:  # another process was first
                if not folder.exists():
                    raise
    return folder / Path(rules_folder.path).parent


def code_of(rule_name):
    """Digest of the code that a rule's script depends on; a parameter of every rule."""
    return code_digest(SCRIPTS / f"{rule_name}.py")


def look():
    """Parameters of every figure."""
    return dict(config["figures"])

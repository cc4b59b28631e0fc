"""Functions for the rules of all stages: folder of the workflow, digests of code, look of figures."""


def workflow_folder(rules_folder):
    """Folder of the workflow on disk.

    Snakemake takes files of ``github(...)`` and ``gitlab(...)`` out of its clone one by one, and the library would be
    missing beside the scripts: the commit is unpacked once, into .snakemake/ of the project.
    """
    if not hasattr(rules_folder, "hosted_repo"):
        return Path(rules_folder.get_path_or_uri(secret_free=False)).parent
    git = ["git", "-C", str(rules_folder.hosted_repo.repo_clone)]
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
                # Python before 3.11.4 has no filters; the archive is git's own
                safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                archive.extractall(Path(temporary, "tree"), **safely)
            try:
                Path(temporary, "tree").rename(folder)
            except OSError:  # another process was first
                if not folder.exists():
                    raise
    return folder / Path(rules_folder.path).parent


@contextmanager
def errors_in_one_line():
    """End with the message of a user's mistake alone: raised, it would be followed by lines of the rule file."""
    try:
        yield
    except BabelscopeError as error:
        logger.error(str(error))
        sys.exit(1)


def code_of(rule_name):
    """Digest of the code that a rule's script depends on; a parameter of every rule."""
    return shared_digest(
        SCRIPTS / f"{rule_name}.py", of_a_job=not workflow.is_main_process
    )


def look():
    """Parameters of every figure."""
    return dict(config["figures"])

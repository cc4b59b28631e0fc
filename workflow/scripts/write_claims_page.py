"""Adaptor of rule write_claims_page."""

from pathlib import Path

from babelscope.evidence.claims import CLAIM_COLUMNS, read_claims
from babelscope.evidence.claims_page import PAGE_FIGURES, claims_page
from babelscope.evidence.tables import read_table
from babelscope.job import run_job
from babelscope.store import write_text


def main(smk):
    rows = read_claims(read_table(smk.input.claims, CLAIM_COLUMNS))
    figures = {path.stem: path.read_bytes() for path in map(Path, smk.input.figures)}
    figures = {name: figures[name] for name in PAGE_FIGURES}
    template = Path(smk.input.template).read_text(encoding="utf-8")
    write_text(smk.output[0], claims_page(rows, figures, smk.wildcards.model, template))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821

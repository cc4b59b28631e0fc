"""Adaptor of rule write_claims_page."""

from pathlib import Path

from babelscope.evidence.claims import CLAIM_COLUMNS, read_claims
from babelscope.evidence.page import PAGE_FIGURES, claims_page
from babelscope.files.tables import read_table
from babelscope.files.whole import write_text
from babelscope.study.job import run_job


def main(smk):
    rows = read_claims(read_table(smk.input.claims, CLAIM_COLUMNS))
    figures = {path.stem: path.read_bytes() for path in map(Path, smk.input.figures)}
    figures = {name: figures[name] for name in PAGE_FIGURES}
    template = Path(smk.input.template).read_text(encoding="utf-8")
    write_text(smk.output[0], claims_page(rows, figures, smk.wildcards.model, template))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821

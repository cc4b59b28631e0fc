"""Adaptor of rule tabulate_ablations."""

from babelscope.files.tables import write_table
from babelscope.pruning.ablation_table import ABLATION_COLUMNS, tabulate_ablations
from babelscope.pruning.tables import ABLATION, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    results = read_languages_of(job.input, ABLATION, job.wildcards.model, job.params.languages)
    found = {result["language"]: result for result in results}
    write_table(job.output[0], tabulate_ablations(found, job.params.seed), ABLATION_COLUMNS)


run_job(main, globals())

"""Adaptor of rule tabulate_ablations."""

from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.pruning.ablation_table import ABLATION_COLUMNS, tabulate_ablations
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    found = {result["language"]: result for result in map(read_json, job.input)}
    write_table(job.output[0], tabulate_ablations(found, job.params.seed), ABLATION_COLUMNS)


run_job(main, globals())

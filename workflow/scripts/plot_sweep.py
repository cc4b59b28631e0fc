"""Adaptor of rule plot_sweep."""

from babelscope.evidence.figures.experts import plot_robustness
from babelscope.evidence.robustness import VERDICTS
from babelscope.evidence.sweep import SWEEP
from babelscope.figures.style import Look, save_figure
from babelscope.files.record import read_record
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, model = Look(**job.params.look), job.wildcards.model
    asked = {"model": model, "languages": list(job.params.languages)}
    sweep = read_record(job.input.sweep, SWEEP, **asked)["rows"]
    figure = plot_robustness(sweep, read_record(job.input.verdicts, VERDICTS, **asked)["claims"], model)
    save_figure(figure, [job.output.png, job.output.svg], look)


run_job(main, globals())

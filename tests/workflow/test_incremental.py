"""What a change makes anew: exactly what depends on it."""

from __future__ import annotations

import pytest
from tests.support import change_config, job, planned_jobs

# Rules that look at all languages at once; new ones may join, they are never of one language.
PER_LANGUAGE = {
    "sample_corpus",
    "tokenize_corpus",
    "record_activations",
    "compensate",
    "evaluate_pruning",
}
PER_MODEL = {"prepare_model", "cluster_layer", "assemble_partition", "make_control_partition"}


def rules_of(jobs):
    return {rule for rule, _ in jobs}


def test_nothing_changed_nothing_runs(study):
    assert planned_jobs(study) == set()


def test_a_new_language_runs_its_own_jobs_and_the_fan_ins(study):
    change_config(study, {"languages": ["en", "hi", "ar"]})
    jobs = planned_jobs(study)
    own = {
        job("sample_corpus", lang="ar"),
        job("tokenize_corpus", model="tiny", lang="ar"),
        job("record_activations", model="tiny", lang="ar"),
        job("compensate", model="tiny", target="ar"),
        job("evaluate_pruning", model="tiny", lang="ar"),
    }
    assert {one for one in jobs if one[0] in PER_LANGUAGE} == own
    assert not rules_of(jobs) & PER_MODEL
    assert {"compare_languages", "count_sharing", "tabulate_pruning", "plot_similarity"} <= rules_of(jobs)
    assert all("lang=en" not in wildcards and "lang=hi" not in wildcards for _, wildcards in jobs)


def test_a_new_threshold_runs_what_reads_it_alone(study):
    change_config(study, {"sharing": {"threshold": 0.1}})
    rules = rules_of(planned_jobs(study))
    assert {"count_sharing", "plot_sharing", "compensate", "evaluate_pruning"} <= rules
    assert not rules & (PER_MODEL | {"sample_corpus", "tokenize_corpus", "record_activations"})
    assert not rules & {"compare_languages", "plot_similarity", "plot_frequency"}


def test_a_new_colour_map_runs_plots_alone(study):
    change_config(study, {"figures": {"colormap": "cividis"}})
    jobs = planned_jobs(study)
    assert {"plot_similarity", "plot_frequency", "plot_sharing"} <= rules_of(jobs)
    assert all(rule.startswith("plot_") or rule == "save_config" for rule in rules_of(jobs))


@pytest.mark.parametrize(
    "path", ["workflow/scripts/record_activations.py", "workflow/scripts/babelscope/scoring.py", "Snakefile"]
)
def test_a_touched_comment_runs_nothing(study, path):
    file = study / path
    file.write_text(file.read_text() + "\n# a remark\n")
    assert planned_jobs(study) == set()


def test_a_change_in_the_library_remakes_what_depends_on_it(study):
    file = study / "workflow" / "scripts" / "babelscope" / "similarity.py"
    text = file.read_text()
    assert "+ 0.5" in text
    file.write_text(text.replace("+ 0.5", "+ 0.25"))
    jobs = planned_jobs(study)
    assert job("compare_languages", model="tiny") in jobs
    assert not rules_of(jobs) & (PER_MODEL | PER_LANGUAGE)


def test_an_edited_text_remakes_its_language_alone(study):
    file = study / "text" / "hi.txt"
    file.write_text(file.read_text() + "one more line of text\n")
    jobs = planned_jobs(study)
    assert job("sample_corpus", lang="hi") in jobs
    assert job("record_activations", model="tiny", lang="hi") in jobs
    assert not [one for one in jobs if one[0] in PER_LANGUAGE and "=en" in one[1]]

"""What a change has made again: exactly the jobs that it concerns and those that read what they make."""

from __future__ import annotations

import shutil

import pytest
from tests.support import change_config, job, planned_jobs, whole_plan, with_followers

from babelscope.study.code_digest import code_digest

LIBRARY = "workflow/scripts/babelscope"
CONFIG = job("save_config")  # writes the configuration of the run down
# The rules that look at sharing.threshold; a new one has to join.
READ_THE_THRESHOLD = {
    "bootstrap_languages",
    "compensate",
    "count_sharing",
    "evaluate_matrix",
    "evaluate_pruning",
    "export_pruned",
    "index_experts",
    "judge_recordings",
    "write_contexts",
    "write_explorer",
}
# Rules whose figures come with a table of their own.
PLOT_AND_TABULATE = {"tabulate_matrix", "tabulate_frontier"}


@pytest.fixture(scope="module")
def plan(finished_study, tmp_path_factory):
    """All jobs of the finished study."""
    return whole_plan(
        shutil.copytree(finished_study, tmp_path_factory.mktemp("plan") / "study", symlinks=True)
    )


def of_rules(plan, names):
    return {planned.job for planned in plan if planned.job[0] in names}


def edit(study, path, old, new):
    file = study / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_language_runs_its_own_jobs_and_the_fan_ins(study):
    change_config(study, {"languages": ["en", "hi", "ar"]})
    jobs = planned_jobs(study)
    expected = with_followers(whole_plan(study), {job("sample_corpus", lang="ar")})
    assert jobs == expected | {CONFIG}
    own = {
        job("sample_corpus", lang="ar"),
        job("tokenize_corpus", model="tiny", lang="ar"),
        job("record_activations", model="tiny", lang="ar"),
        job("compensate", model="tiny", target="ar"),
        job("evaluate_pruning", model="tiny", lang="ar"),
    }
    fan_ins = {"compare_languages", "count_sharing", "tabulate_pruning", "plot_similarity", "plot_frequency"}
    assert own <= jobs and fan_ins <= {rule for rule, _ in jobs}
    assert not [wildcards for _, wildcards in jobs if "=en" in wildcards or "=hi" in wildcards]


def test_the_order_of_languages_concerns_the_fan_ins_alone(study):
    change_config(study, {"languages": ["hi", "en"]})
    jobs = planned_jobs(study)
    assert job("compare_languages", model="tiny") in jobs
    assert not [wildcards for _, wildcards in jobs if "lang=" in wildcards or "target=" in wildcards]


def test_a_new_threshold_runs_what_reads_it_and_what_follows(study, plan):
    change_config(study, {"sharing": {"threshold": 0.1}})
    jobs = planned_jobs(study)
    assert jobs == with_followers(plan, of_rules(plan, READ_THE_THRESHOLD)) | {CONFIG}
    rules = {rule for rule, _ in jobs}
    assert not rules & {"record_activations", "compare_languages", "plot_similarity", "plot_frequency"}


def test_other_reference_languages_size_the_layers_again_and_a_method_without_asks_for_no_sizes(study, plan):
    change_config(study, {"pruning": {"reference_languages": ["hi"]}})
    expected = with_followers(plan, of_rules(plan, {"measure_layer_costs"}))
    assert planned_jobs(study) == expected | {CONFIG}
    assert {job("compensate", model="tiny", target=lang) for lang in ("en", "hi")} <= expected
    change_config(study, {"pruning": {"method": "second_order"}})
    assert not {rule for rule, _ in planned_jobs(study)} & {"measure_layer_costs", "record_activations"}


def test_a_new_colour_map_runs_plots_and_what_shows_them(study, plan):
    change_config(study, {"figures": {"colormap": "cividis"}})
    plots = {p.job for p in plan if p.job[0].startswith("plot_") or p.job[0] in PLOT_AND_TABULATE}
    expected = with_followers(plan, plots)
    assert planned_jobs(study) == expected | {CONFIG}
    # pages that show the figures follow them, nothing that computes
    assert all(rule.startswith("write_") for rule, _ in expected - plots)


def test_how_much_memory_jobs_may_take_and_how_they_share_a_gpu_decides_no_result(study):
    limits = {"gpu_memory_gb": 24.0, "memory_mb": 16000, "gpus": 2}
    change_config(study, {"model_definitions": {"tiny": limits}, "gpus": {"jobs_per_gpu": 3}})
    assert planned_jobs(study) == {CONFIG}


def test_touched_comments_run_nothing_also_where_the_study_was_moved(study):
    for path in (
        "workflow/scripts/record_activations.py",
        "workflow/scripts/plot_sharing.py",
        f"{LIBRARY}/recording/scores.py",
        f"{LIBRARY}/files/hdf5.py",
        "rules/comparison.smk",
        "Snakefile",
    ):
        file = study / path
        file.write_text(file.read_text(encoding="utf-8") + "\n# a remark\n", encoding="utf-8")
    assert planned_jobs(study) == set()


def rules_changed_by(study, path, old, new):
    """Edit the library; the rules whose digest of code the edit changes."""
    scripts = sorted((study / "workflow" / "scripts").glob("*.py"))
    before = {script.stem: code_digest(script) for script in scripts}
    edit(study, path, old, new)
    return {script.stem for script in scripts if code_digest(script) != before[script.stem]}


def test_a_change_in_the_library_remakes_what_can_reach_it_and_what_follows(study, plan):
    changed = rules_changed_by(study, f"{LIBRARY}/comparison/measures.py", "+ 0.5", "+ 0.25")
    assert planned_jobs(study) == with_followers(plan, of_rules(plan, changed))
    assert "compare_languages" in changed
    assert not changed & {"record_activations", "cluster_layer", "sample_corpus"}


def test_a_change_of_how_experts_are_scored_records_all_languages_again(study, plan):
    path = f"{LIBRARY}/recording/scores.py"
    changed = rules_changed_by(study, path, "eps=_TINY_VARIANCE", "eps=2 * _TINY_VARIANCE")
    assert planned_jobs(study) == with_followers(plan, of_rules(plan, changed))
    assert {"record_activations", "check_model"} <= changed
    assert not changed & {"cluster_layer", "compare_languages"}


def test_a_change_of_the_look_of_one_figure_draws_its_stage_again(study, plan):
    path = f"{LIBRARY}/comparison/figures.py"
    changed = rules_changed_by(study, path, 'label="number of languages"', 'label="languages"')
    assert planned_jobs(study) == with_followers(plan, of_rules(plan, changed))
    assert "plot_sharing" in changed and all(rule.startswith("plot_") for rule in changed)


def test_an_edited_text_remakes_its_language_and_the_fan_ins(study, plan):
    file = study / "text" / "hi.txt"
    file.write_text(file.read_text(encoding="utf-8") + "one more line of text\n", encoding="utf-8")
    jobs = planned_jobs(study)
    assert jobs == with_followers(plan, {job("sample_corpus", lang="hi")})
    # the layers of all pruned models are sized on the text of the first two languages
    sized = with_followers(plan, of_rules(plan, {"measure_layer_costs"}))
    assert not [wildcards for _, wildcards in jobs - sized if "=en" in wildcards]


def test_another_seed_leaves_only_the_model_as_it_is(study, plan):
    change_config(study, {"seed": 1})
    assert planned_jobs(study) == {planned.job for planned in plan} - of_rules(plan, {"prepare_model"})

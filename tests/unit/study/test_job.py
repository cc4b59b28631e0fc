"""What every job does around its work: log, threads, network, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tests.support import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
PROGRAM = """
import json, os, sys
from types import SimpleNamespace
from babelscope.study.errors import BabelscopeError
from babelscope.study.job import run_job
from babelscope.study.progress import logger, progress

def main(job):
    {body}

job = SimpleNamespace(log=["logs/deep/job.log"], threads=1)
run_job(main, {{"snakemake": job}}, network={network})
"""


def run(tmp_path, body, network=False):
    """Run a job in a process of its own; returns it and its log."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body, network=network)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SCRIPTS)},
    )
    return result, (tmp_path / "logs" / "deep" / "job.log").read_text(encoding="utf-8")


def test_messages_go_to_the_log_and_to_standard_error(tmp_path):
    result, log = run(tmp_path, "logger.info('half done')")
    assert result.returncode == 0
    assert "half done" in log and "half done" in result.stderr


def test_a_mistake_of_the_user_ends_the_job_with_its_message_alone(tmp_path):
    result, log = run(tmp_path, "raise BabelscopeError('the value 7 of x')")
    assert result.returncode == 1
    assert "error: the value 7 of x" in log and "error: the value 7 of x" in result.stderr
    assert "Traceback" not in log + result.stderr


def test_running_out_of_gpu_memory_is_no_defect_and_says_what_to_do(tmp_path):
    result, log = run(tmp_path, "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried')")
    assert result.returncode == 1
    assert "out of GPU memory (CUDA out of memory. Tried); a lower tokens_per_batch" in log
    assert "defect" not in log + result.stderr


def test_a_job_that_is_stopped_is_no_defect(tmp_path):
    result, log = run(tmp_path, "raise KeyboardInterrupt")
    assert result.returncode != 0
    assert "stopped before its end" in log and "defect" not in log


def test_a_defect_keeps_its_traceback_in_the_log(tmp_path):
    result, log = run(tmp_path, "[][1]")
    assert result.returncode != 0
    for text in (log, result.stderr):
        assert "this is a defect of Babelscope" in text
        assert "IndexError: list index out of range" in text


@pytest.mark.parametrize("network", [True, False])
def test_the_hub_is_reached_for_by_rules_that_may_alone(tmp_path, network):
    result, _ = run(tmp_path, "print(os.environ.get('HF_HUB_OFFLINE'))", network)
    assert result.stdout.strip() == ("None" if network else "1")


def test_the_numeric_libraries_get_the_rules_threads(tmp_path):
    body = (
        "import numpy, threadpoolctl, torch; "
        "from babelscope.study.job import limit_threads; limit_threads(1); "
        "pools = [p['num_threads'] for p in threadpoolctl.threadpool_info()]; "
        "print(json.dumps(pools), torch.get_num_threads())"
    )
    result, _ = run(tmp_path, body)
    pools, torch_threads = result.stdout.rsplit(maxsplit=1)
    assert set(json.loads(pools)) == {1}
    assert torch_threads == "1"


def test_progress_is_a_line_in_the_log_with_rate_and_time_left(tmp_path):
    body = "\n    with progress(10, 'tokens', 'recording en') as bar:\n        bar.update(4); bar.update(6)"
    _, log = run(tmp_path, body)
    assert "recording en: 10 of 10 tokens" in log
    assert "tokens/s" in log and "left" in log


def test_progress_lines_come_every_few_seconds(monkeypatch, caplog):
    from babelscope.study import progress as module

    times = iter([0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times, 8.0)))
    with caplog.at_level("INFO", logger="babelscope"):
        with module.progress(4, "tokens", "recording en") as bar:
            bar.update(1)
            assert not caplog.records
            bar.update(1)
            assert len(caplog.records) == 1
            assert "2 of 4 tokens" in caplog.records[0].getMessage()
        assert len(caplog.records) == 2

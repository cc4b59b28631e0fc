"""A real one-node SLURM on loopback: munge, accounting database, controller and node daemon.

Needs root and Debian's packages ``PACKAGES``. Nothing is started by systemd and nothing listens outside
127.0.0.1. One such cluster can run on a machine at a time: SLURM's configuration has one place, munge's
socket another.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.configuration import PASSWORD, commands, environment, write_configuration

PACKAGES = "slurmctld slurmd slurm-client munge slurmdbd slurm-wlm-mysql-plugin mariadb-server"
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "sbatch", "sacct")
ACCOUNT = "study"
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
WITHOUT_ACCOUNTING = ("munged", "slurmctld", "slurmd")

_CONF_LINKS = ("slurm.conf", "gres.conf", "slurmdbd.conf")
_ETC = Path("/etc/slurm")


def why_absent() -> str:
    """Why no cluster can be started on this machine; empty where it can."""
    lacking = [name for name in PROGRAMS if not shutil.which(name, path=environment()["PATH"])]
    if lacking:
        return f"{', '.join(lacking)} not installed: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    foreign = [name for name in _CONF_LINKS if (_ETC / name).exists() and not (_ETC / name).is_symlink()]
    if foreign:
        return f"{_ETC / foreign[0]} belongs to a SLURM of this machine"
    return ""


@dataclass(frozen=True)
class JobRecord:
    """One job as SLURM's accounting has it."""

    job_id: int
    name: str
    comment: str
    state: str
    n_cpus: int
    mem_mb: int
    n_gpus: int
    partition: str
    account: str
    time_limit: int  # minutes

    @property
    def rule(self) -> str:
        """The rule, or the group of rules, that was submitted."""
        return self.comment.removeprefix("rule_").split("_wildcards_")[0]

    @property
    def wildcards(self) -> str:
        """Values of the rule's wildcards, joined as the plugin joins them."""
        return self.comment.partition("_wildcards_")[2]


@dataclass(frozen=True)
class Cluster:
    """A running cluster; ``folder`` holds its configuration, state and logs."""

    folder: Path
    daemons: tuple[str, ...]

    def command(self, *args: str, timeout: float = 30) -> str:
        """Standard output of one of SLURM's commands."""
        done = subprocess.run(args, capture_output=True, text=True, timeout=timeout, env=environment())
        if done.returncode:
            raise RuntimeError(f"{shlex.join(args)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def jobs(self, after: int = 0) -> list[JobRecord]:
        """All jobs with ids above ``after``, in order of submission, from the accounting database."""
        fields = "JobIDRaw,JobName,Comment,State,ReqCPUS,ReqMem,ReqTRES,Partition,Account,TimelimitRaw"
        start = time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() - 86400))
        text = self.command("sacct", "-aXnP", "--delimiter=\t", f"--format={fields}", "-S", start)
        records = [_record(line.split("\t")) for line in text.splitlines()]
        return sorted((r for r in records if r.job_id > after), key=lambda record: record.job_id)

    def last_job_id(self) -> int:
        """Id of the latest job, 0 before the first."""
        return max((job.job_id for job in self.jobs()), default=0)

    def active(self) -> dict[int, str]:
        """State of the jobs that wait or run, by id."""
        rows = [line.split("|") for line in self.command("squeue", "-h", "-o", "%A|%T").splitlines()]
        return {int(job_id): state for job_id, state in rows}

    def running(self, rule: str) -> int | None:
        """Id of one job of a rule that runs now."""
        for line in self.command("squeue", "-h", "-t", "R", "-o", "%A|%k").splitlines():
            job_id, _, comment = line.partition("|")
            if comment.removeprefix("rule_").split("_wildcards_")[0] == rule:
                return int(job_id)
        return None

    def pid(self, daemon: str) -> int | None:
        """Process id of a daemon that lives, else None."""
        try:
            pid = int((self.folder / "run" / f"{daemon}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if _lives(pid) else None

    def kill(self, daemon: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a daemon a signal and wait until it is gone."""
        pid = self.pid(daemon)
        if pid is not None:
            os.kill(pid, number)
            wait_until(lambda: not _lives(pid), 40, f"end of {daemon}")

    def start(self, daemon: str) -> None:
        """Start one daemon, unless it runs."""
        if self.pid(daemon) is not None:
            return
        # The file of a killed daemon would pass for that of the new one where ids are used again.
        (self.folder / "run" / f"{daemon}.pid").unlink(missing_ok=True)
        with open(self.folder / "log" / f"{daemon}.out", "ab") as log:
            subprocess.Popen(
                commands(self.folder)[daemon],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        wait_until(lambda: self.pid(daemon) is not None, 30, f"start of {daemon}: see {self.folder}/log")

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Wait until the node takes jobs and none waits or runs."""
        wait_until(self._idle, timeout, f"an idle cluster: see {self.folder}/log")

    def restore(self) -> None:
        """Start what does not run, cancel all jobs, take the node back into service."""
        for daemon in self.daemons:
            self.start(daemon)
        wait_until(self._answers, 60, f"the controller: see {self.folder}/log")
        for job_id in self.active():
            self.command("scancel", str(job_id))
        host = socket.gethostname().split(".")[0]
        state = self.command("sinfo", "-h", "-N", "-o", "%T").split()[0]
        if state.startswith(("drain", "down")):
            self.command("scontrol", "update", f"nodename={host}", "state=resume")
        self.wait_until_ready()

    def _answers(self) -> bool:
        try:
            self.command("squeue", "-h", timeout=10)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    def _idle(self) -> bool:
        try:
            return (
                self.command("sinfo", "-h", "-N", "-o", "%T", timeout=5).split()[:1] == ["idle"]
                and not self.active()
            )
        except (RuntimeError, subprocess.TimeoutExpired):
            return False


@contextmanager
def running_cluster(folder: Path, *, accounting: bool = True, n_cpus: int = 8) -> Iterator[Cluster]:
    """Start a cluster under ``folder``, stop it again whatever happens in between."""
    _stop_former()
    for name in ("etc", "run", "log", "state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder, DAEMONS if accounting else WITHOUT_ACCOUNTING)
    write_configuration(folder, accounting, n_cpus)
    links = [_ETC / path.name for path in (folder / "etc").glob("*.conf")]
    try:
        for link in links:
            link.unlink(missing_ok=True)
            link.symlink_to(folder / "etc" / link.name)
        for daemon in cluster.daemons:
            cluster.start(daemon)
            if daemon == "mariadbd":
                wait_until(lambda: _make_database(folder), 60, f"the database: see {folder}/log")
            if daemon == "slurmdbd":
                _add_account(cluster)
        cluster.wait_until_ready()
        yield cluster
    finally:
        _stop(cluster)
        for link in links:
            link.unlink(missing_ok=True)


def wait_until(condition: Callable[[], object], timeout: float, what: str, interval: float = 0.2) -> None:
    """Wait until a condition holds; ``TimeoutError`` naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(interval)


def _stop_former() -> None:
    """Stop the cluster of tests that were killed before they could do so."""
    link = _ETC / "slurm.conf"
    if link.is_symlink():
        _stop(Cluster(Path(os.readlink(link)).parents[1], DAEMONS))


def _stop(cluster: Cluster) -> None:
    try:
        for job_id in cluster.active():
            cluster.command("scancel", "--signal=KILL", "--full", str(job_id), timeout=10)
    except (RuntimeError, subprocess.TimeoutExpired):
        pass  # the controller may be what a test has killed
    for daemon in reversed(cluster.daemons):
        try:
            cluster.kill(daemon, signal.SIGTERM)
        except TimeoutError:
            cluster.kill(daemon, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def _record(row: list[str]) -> JobRecord:
    job_id, name, comment, state, n_cpus, memory, tres, partition, account, limit = row
    requested = dict(item.split("=", 1) for item in tres.split(",") if "=" in item)
    scale = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}[memory[-1]]
    return JobRecord(
        job_id=int(job_id),
        name=name,
        comment=comment,
        state=state.split()[0],
        n_cpus=int(n_cpus),
        mem_mb=round(float(memory[:-1]) * scale),
        n_gpus=int(requested.get("gres/gpu", 0)),
        partition=partition,
        account=account,
        time_limit=int(limit),
    )


def _make_database(folder: Path) -> bool:
    sql = (
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db;"
        f"CREATE OR REPLACE USER slurm@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
        "GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';"
    )
    command = ["mariadb", "--no-defaults", f"--socket={folder}/run/mariadbd.sock", "-u", "root", "-e", sql]
    return subprocess.run(command, capture_output=True).returncode == 0


def _add_account(cluster: Cluster) -> None:
    def answers() -> bool:
        try:
            cluster.command("sacctmgr", "-n", "show", "cluster", timeout=5)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    wait_until(answers, 60, f"the accounting daemon: see {cluster.folder}/log")
    cluster.command("sacctmgr", "-i", "add", "cluster", "babelscope")
    cluster.command("sacctmgr", "-i", "add", "account", ACCOUNT, "Cluster=babelscope")
    cluster.command(
        "sacctmgr", "-i", "add", "user", "root", f"Account={ACCOUNT}", f"DefaultAccount={ACCOUNT}"
    )

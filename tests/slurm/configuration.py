"""Configuration, commands and environment of the daemons of a one-node SLURM."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import subprocess
from pathlib import Path

GPU_MODEL = "fake"
PASSWORD = "loopback"  # of a database that lives as long as the test


def environment() -> dict[str, str]:
    """This process's environment, without SLURM's variables and with the folders of daemons."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    return kept | {"PATH": f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"}


def commands(folder: Path) -> dict[str, list[str]]:
    """The command that starts each daemon, by its name."""
    run, log = folder / "run", folder / "log"
    return {
        "munged": [
            "munged",
            f"--key-file={folder}/etc/munge.key",
            f"--pid-file={run}/munged.pid",
            f"--log-file={log}/munged.log",
            f"--seed-file={folder}/state/munge.seed",
        ],
        "mariadbd": [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={folder}/database",
            "--bind-address=127.0.0.1",
            "--port=16806",
            f"--socket={run}/mariadbd.sock",
            f"--pid-file={run}/mariadbd.pid",
            "--skip-name-resolve",
            "--innodb-lock-wait-timeout=900",
        ],
        "slurmdbd": ["slurmdbd"],
        "slurmctld": ["slurmctld", "-f", f"{folder}/etc/slurm.conf"],
        "slurmd": ["slurmd", "-f", f"{folder}/etc/slurm.conf"],
    }


def write_configuration(folder: Path, accounting: bool, n_cpus: int) -> None:
    """Write what the daemons of a cluster read into ``folder/etc``, and make its database and GPUs."""
    host = socket.gethostname().split(".")[0]
    etc, run = folder / "etc", folder / "run"
    key = etc / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
    for number in range(2):
        device = run / f"gpu{number}"
        if not device.exists():
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    store = "AccountingStorageType=accounting_storage/none"
    if accounting:
        store = _ACCOUNTED
        (etc / "slurmdbd.conf").write_text(_SLURMDBD_CONF.format(host=host, folder=folder, password=PASSWORD))
        (etc / "slurmdbd.conf").chmod(0o600)
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={folder}/database"],
            check=True,
            capture_output=True,
            env=environment(),
        )
    conf = _SLURM_CONF.format(host=host, folder=folder, n_cpus=n_cpus, gpu=GPU_MODEL, store=store)
    (etc / "slurm.conf").write_text(conf)
    gres = f"AutoDetect=off\nNodeName={host} Name=gpu Type={GPU_MODEL} File={run}/gpu[0-1]\n"
    (etc / "gres.conf").write_text(gres)


_ACCOUNTED = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
"""

_SLURMDBD_CONF = """\
AuthType=auth/munge
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16806
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""

_SLURM_CONF = """\
ClusterName=babelscope
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=16817
SlurmdPort=16818
SrunPortRange=16830-16930
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=100000,batch_sched_delay=0
MinJobAge=600
KillWait=2
MaxArraySize=1001
GresTypes=gpu
{store}
NodeName={host} NodeAddr=127.0.0.1 NodeHostname={host} CPUs={n_cpus} RealMemory=64000 \\
  Gres=gpu:{gpu}:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=24:00:00 DefaultTime=00:10:00 State=UP
PartitionName=gpu Nodes={host} MaxTime=24:00:00 DefaultTime=00:10:00 State=UP
"""

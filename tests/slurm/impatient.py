"""Snakemake that looks at its submitted jobs every two seconds.

Its SLURM plugin waits 10 s longer after each look without news: longer than the jobs of a test take.
"""

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)

if __name__ == "__main__":
    main()

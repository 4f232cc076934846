# `make run` and `make test` do all their set-up; they need Python 3.11 to 3.14 and a package index.
# The newest of these that works: a shim of a version manager is found, but may not run.
WORKS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$python -c '$(WORKS)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= captions
MODEL ?= captions
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder

.PHONY: help run test test-slow lint check bench bench-corpus bench-cleaning bench-plan bench-ranks bench-gpu bench-serving bench-bulk chaos lock hashes audit digests clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/installed  ## train, score and register the model of PRESET (captions: embedded, offline)
	$(BIN)/nmt train --preset $(PRESET)

ifdef FILE
test: $(VENV)/installed  ## run what CI runs; with FILE=tests/model, the tests of that file or folder
	$(PYTEST) -m "not slow" $(FILE)
else
test: lint  # Types take a minute on one core, and most tests wait for servers: both at once.
	@$(BIN)/mypy >$(VENV)/types.txt 2>&1 & types=$$!; trap 'kill $$types 2>/dev/null' INT TERM; \
	$(PYTEST) -m "not slow" --durations 25; tests=$$?; \
	wait $$types; types=$$?; cat $(VENV)/types.txt; exit $$((tests || types))
endif

test-slow: $(VENV)/installed  ## run what CI has no time for: machines that die, schedules, several nodes
	$(PYTEST) -m slow $(FILE)

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: lint  ## check format, lint and types
	$(BIN)/mypy

bench: $(VENV)/installed  ## measure training and search; of a registered MODEL, on the sentences in LINES
	$(BIN)/python -m tests.benchmarks.speed $(if $(filter command line,$(origin MODEL)),--model $(MODEL)) $(if $(LINES),--lines $(LINES))

bench-corpus: $(VENV)/installed  ## measure every stage before training, at 50 thousand, 500 thousand and 5 million pairs
	$(BIN)/python -m tests.benchmarks.corpus $(if $(PAIRS),--pairs $(PAIRS))

bench-cleaning: $(VENV)/installed  ## precision and recall of the rules, on CORPUS (the embedded one) with dirt put into it
	$(BIN)/python -m tests.benchmarks.cleaning $(if $(CORPUS),--path $(CORPUS)) $(if $(SEED),--seed $(SEED))

bench-plan: $(VENV)/installed  ## measure the plan of an epoch of 50 million pairs
	$(BIN)/python -m tests.benchmarks.plan

bench-ranks: $(VENV)/installed  ## simulate how long 8 to 1,024 workers wait for the slowest of them
	$(BIN)/python -m tests.benchmarks.ranks

bench-gpu: $(VENV)/installed  ## check and measure training on this machine's GPU
	$(BIN)/python -m tests.benchmarks.gpu

bench-serving: $(VENV)/installed  ## measure requests per second and latency of MODEL (captions), behind both servers
	$(BIN)/python -m tests.benchmarks.serving --model $(MODEL)

bench-bulk: $(VENV)/installed  ## translate 200,000 sentences with MODEL, killed in the middle and started again
	$(BIN)/python -m tests.benchmarks.bulk --model $(MODEL)

chaos: $(VENV)/installed  ## kill a training of two workers 30 times, at random moments, and compare what comes out
	$(BIN)/python -m tests.benchmarks.chaos $(if $(SEED),--seed $(SEED))

# pip would compile on one core, and what nobody imports too: after it, all cores compile all but packages' own tests.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# Of all but torch, whose builds differ from index to index, only files with the hashes that PyPI has are installed.
$(VENV)/installed: requirements.lock requirements.hashes pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(WORKS)' 2>/dev/null; then \
		echo "Python 3.11 to 3.14 with venv is needed, not $(or $(PYTHON),found): make PYTHON=/path/to/python3.13"; \
		exit 1; fi
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --no-deps --require-hashes --requirement requirements.hashes
	$(INSTALL) --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true  # Packages have templates that are no Python.
	@touch $@

lock:  ## pin every version anew, from pyproject.toml
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade "setuptools>=77"
	$(VENV)-lock/bin/python -m pip install --quiet ".[dev]"
	echo "# Every version, pinned; made by \`make lock\` from pyproject.toml." > requirements.lock
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude nmt-attention-pipeline \
		| sed -E 's/^(torch==[0-9.]+)\+.*/\1/' >> requirements.lock
	rm -rf $(VENV)-lock build
	$(MAKE) hashes

hashes:  ## pin every file of every locked version but torch, for all platforms, as PyPI has them
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv
	grep -v '^torch==' requirements.lock | $(VENV)-lock/bin/uv pip compile --quiet --no-deps --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --output-file requirements.hashes -
	rm -rf $(VENV)-lock

audit:  ## look every locked version up in PyPI's list of known vulnerabilities
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet pip-audit
	$(VENV)-lock/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip
	rm -rf $(VENV)-lock

IMAGES = $(shell grep -hoE '(FROM|image:) [a-z/]+:[^ @]+' infra/Dockerfile infra/compose.yaml infra/kubernetes/*.yaml \
	| grep -oE '[a-z/]+:[0-9][^ ]+' | grep -v '^nmt' | sort -u)

digests:  ## add the digest of every image that is not ours to its version, in infra/
	@for image in $(IMAGES); do \
		digest=$$(docker buildx imagetools inspect $$image --format '{{.Manifest.Digest}}') || exit 1; \
		sed -E -i.old "s|($$image)(@sha256:[0-9a-f]+)?|\1@$$digest|" infra/Dockerfile infra/compose.yaml infra/kubernetes/*.yaml; \
		echo "$$image@$$digest"; \
	done; rm -f infra/Dockerfile.old infra/compose.yaml.old infra/kubernetes/*.old

clean:  ## remove the environment and caches, but not .nmt and its models
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build

# `make run` and `make test` do all their set-up; they need Python 3.11 (or 3.12) and a package index.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= captions
MODEL ?= captions

.PHONY: run test test-slow check bench bench-serving bench-bulk lock clean

run: $(VENV)/installed  ## train, score and register the model of PRESET (captions: embedded, offline)
	$(BIN)/nmt train --preset $(PRESET)

test: check  ## what CI runs
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder -m "not slow" --durations 25

test-slow: $(VENV)/installed  ## what CI has no time for: nodes and machines that die
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder -m slow

check: $(VENV)/installed  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## speed and memory of training and search; of a registered MODEL, on the sentences in LINES
	$(BIN)/python -m tests.benchmarks.speed $(if $(filter command line,$(origin MODEL)),--model $(MODEL)) $(if $(LINES),--lines $(LINES))

bench-serving: $(VENV)/installed  ## requests and latency of the registered model MODEL (captions), behind both servers
	$(BIN)/python -m tests.benchmarks.serving --model $(MODEL)

bench-bulk: $(VENV)/installed  ## a file of 200,000 sentences through MODEL, killed in the middle and started again
	$(BIN)/python -m tests.benchmarks.bulk --model $(MODEL)

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Python 3.11 or 3.12 is needed, this is %d.%d: make PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## resolve pyproject.toml anew and pin every version
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade "setuptools>=77"
	$(VENV)-lock/bin/python -m pip install --quiet ".[dev]"
	echo "# Every version, pinned; made by \`make lock\` from pyproject.toml." > requirements.lock
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude nmt-attention-pipeline \
		| sed -E 's/^(torch==[0-9.]+)\+.*/\1/' >> requirements.lock
	rm -rf $(VENV)-lock build

clean:  ## remove the environment and caches; $$NMT_HOME (.nmt) with its models stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build

# Every target makes the environment it needs; only the package registry is asked for anything.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-all test-browser coverage fidelity faults property snapshots hostile fuzz git-newest lint lock bench man docs pictures runner clean

# With LOCKED=1 the environment has exactly the releases of requirements-dev.lock, checked by their hashes.
$(VENV)/installed: pyproject.toml man/git-coderepo.1
	$(PYTHON) -m venv $(VENV)
ifdef LOCKED
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
endif
	touch $@

# What running needs and nothing else, in an environment of its own.
build/demo/installed: pyproject.toml man/git-coderepo.1
	$(PYTHON) -m venv build/demo
	build/demo/bin/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# The environment's programs come first: git finds `git-coderepo` there.
demo: build/demo/installed
	@PATH="$(CURDIR)/build/demo/bin:$$PATH" git coderepo demo

# With byte code, which an environment may forbid: without it, pytest rewrites every test again at each start. Tests of
# one module stay together as long as there are others, since they share what they have made.
PYTEST = PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist worksteal

test: $(VENV)/installed
	$(PYTEST) -m 'not slow and not browser' $(TESTS)

test-all: $(VENV)/installed
	$(PYTEST) -m 'slow and not browser' $(TESTS)

# Pages of the report in chromium, which must be installed: apt-get install chromium
test-browser: $(VENV)/installed
	$(PYTEST) -m browser $(TESTS)

# Lines and branches that the tests reach, subprocesses included, in an environment of its own: TESTS=tests/test_run.py
COVERAGE = build/coverage/venv
coverage:
	$(MAKE) $(COVERAGE)/installed VENV=$(COVERAGE)
	$(COVERAGE)/bin/pip install --quiet --disable-pip-version-check --editable '.[coverage]'
	PATH="$(CURDIR)/$(COVERAGE)/bin:$$PATH" $(COVERAGE)/bin/python -m tests.measure_coverage $(TESTS)

# Every kind of checkout on every platform, there and back: tests/fidelity/README.md is written anew; ROWS=odd for some.
fidelity: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.fidelity $(ROWS)

# Every fault on the way to a runner, on every platform: tests/faults/README.md is written anew; ROWS=stalled for some.
faults: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.faults $(ROWS)

# Random trees and edits, there and back: make property EXAMPLES=20000 SEED=1
property: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.fidelity.random_trees $(EXAMPLES) $(SEED)

# Snapshots of a changing checkout beside `git add -A` with an empty index: make snapshots COUNT=3000 SEED=1
snapshots: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.snapshot_fuzz $(COUNT) $(SEED)

# Everything that somebody may have tampered with, refused: tests/hostile/README.md is written anew.
hostile: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.hostile

# One reader fuzzed, guided by coverage, until a finding or the time is over: make fuzz TARGET=tar SECONDS=600
TARGET ?= tar
SECONDS ?= 60
fuzz: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(TARGET) $(SECONDS)

# Debian unstable's git, fetched into a cache: TEST_GIT="$$(make -s git-newest)" make test
git-newest:
	@tests/newest_git.sh

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house

# The newest releases that pyproject.toml allows, for every Python and system: requirements-dev.lock is written anew.
lock: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --extra test --extra lint \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --output-file build/requirements.txt
	{ echo '# The development environment (the extras test and lint), for Python 3.10 and later on Linux and macOS; `make lock` writes it.'; \
		cat build/requirements.txt; } > requirements-dev.lock

bench: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench

man: $(VENV)/installed
	$(BIN)/python -m git_coderepo.cli.help.manual

# The site, in an environment of its own: build/docs/site. Warnings are errors; links and anchors are checked.
build/docs/installed: pyproject.toml man/git-coderepo.1
	$(PYTHON) -m venv build/docs/venv
	build/docs/venv/bin/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

docs: build/docs/installed
	NO_MKDOCS_2_WARNING=1 build/docs/venv/bin/python -m mkdocs build --strict
	@echo 'build/docs/site/index.html'

# The pictures of a terminal, from the program's output, and the dark ones of those that are written by hand.
pictures: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m website.terminal_picture
	$(BIN)/python -m website.dark_pictures

# What builds the runner's file; what goes into it is in pyz/requirements.lock.
build/runner/installed: pyproject.toml man/git-coderepo.1
	$(PYTHON) -m venv build/runner
	build/runner/bin/pip install --quiet --disable-pip-version-check hatchling packaging
	build/runner/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .
	touch $@

# One file for a machine that has a Python and nothing else.
runner: build/runner/installed
	build/runner/bin/python -m pyz git-coderepo.pyz

clean:
	rm -rf git-coderepo.pyz $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

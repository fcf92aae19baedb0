# Two commands: `make run` serves the portal with a demo laboratory, `make test` runs the whole test suite.
PYTHON ?= python3
PORT ?= 8000
# Another index for pip, for example the one with torch for CPUs only: make run PIP_ARGS="--extra-index-url …"
PIP_ARGS ?=
BIN := .venv/bin

export PORT PYTHON

.PHONY: run install test clean

run: install
	@exec deploy/start

install: .venv/installed

.venv/installed: requirements.txt package.json package-lock.json
	deploy/packages run
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.txt
	npm ci --omit=dev --ignore-scripts --no-audit --no-fund
	touch $@

.venv/installed-for-tests: .venv/installed requirements-dev.txt requirements-pretrained.txt requirements-yolo.txt
	deploy/packages test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps -r requirements-yolo.txt
	npm ci --include=dev --ignore-scripts --no-audit --no-fund
	touch $@

# A process per core, each with whole files of tests.
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile

# One thread per process and no spinning: the tests start workers beside themselves.
test: export OMP_NUM_THREADS = 1
test: export OMP_WAIT_POLICY = passive
test: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	WBC_STATE=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run
	$(PYTEST)
	if [ -n "$$TEST_POSTGRES_URL" ]; then \
	  TEST_DATABASE=postgresql $(BIN)/pytest tests/accounts tests/cases tests/inference tests/reports \
	    --ignore tests/inference/pipeline -m "not browser and not worker" && \
	  TEST_DATABASE=postgresql $(BIN)/pytest tests/test_journey.py; \
	fi

# Everything that can be made again; `var/` holds data and stays.
clean:
	rm -rf .venv node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Two commands: `make demo` runs the whole lifecycle on real data, `make test` passes the tests.
# `make test OPTIONS=--long` runs the flows on a Prefect server too, as the gate does.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP_FLAGS := --quiet --disable-pip-version-check --no-compile

.PHONY: install demo test mutants lint types contracts check clean

$(STAMP): pyproject.toml infra/constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and by its exact version, so that the resolver settles on one build of it
	$(BIN)/python -m pip install $(PIP_FLAGS) -c infra/constraints.txt torch==2.13.0
	$(BIN)/python -m pip install $(PIP_FLAGS) -c infra/constraints.txt -e '.[dev]'
	@# on every core at once, where pip compiles on one; files that are templates do not compile, which is no matter
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/everfeed demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder $(OPTIONS)

mutants: $(STAMP)
	$(BIN)/python -m pytest --full tests/mutants

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

check: lint types contracts test

clean:
	rm -rf $(VENV) .everfeed build *.egg-info

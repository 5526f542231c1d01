# Two commands on a fresh machine: `make demo` and `make test`. Set-up happens by itself.
PYTHON ?= $(shell scripts/choose-python.sh)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVICES := $(sort $(wildcard services/*))
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(SERVICES))
ARGS ?=
ROUNDS ?= 20

.PHONY: demo up test fuzz check format bench eval lock clean
.DEFAULT_GOAL := demo

$(STAMP): requirements.lock $(PROJECTS)
	@python="$(PYTHON)"; test -n "$$python" || exit 1; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }; \
	echo "Setting up $(VENV) with $$python (once; about a minute) ..."; \
	"$$python" -m venv --clear $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
		-e . $(addprefix -e ,$(SERVICES))
	@touch $@

demo: $(STAMP)  ## the whole fleet on this machine, a ship with faults, incidents on screen
	@$(BIN)/aiops demo $(ARGS)

up: $(STAMP)  ## the fleet alone
	@$(BIN)/aiops up $(ARGS)

test: $(STAMP)  ## all tests, with coverage
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --durations=20 $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

fuzz: $(STAMP)  ## properties with other examples each round; ARGS chooses the tests
	@for round in $$(seq $(ROUNDS)); do echo "round $$round of $(ROUNDS)"; \
		$(BIN)/pytest -q --hypothesis-profile=others $(or $(ARGS),tests/unit/correlation_service/test_properties.py) || exit 1; done

check: $(STAMP)  ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/aiops policy check

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)  ## speed, as ratios to a limit measured in the same run
	@$(BIN)/aiops bench $(ARGS)

eval: $(STAMP)  ## how good the decisions are, against known truth
	@$(BIN)/aiops eval detect $(ARGS)
	@$(BIN)/aiops eval correlate $(ARGS)

lock:  ## pin what the pyproject.toml files ask for, with hashes; needs uv
	@override=$$(mktemp) && echo "aiops-core @ file://$(CURDIR)" > $$override && \
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate --all-extras \
		--override $$override --no-emit-package aiops-core \
		$(PROJECTS) -o requirements.lock; rm -f $$override

clean:
	rm -rf $(VENV) .aiops .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

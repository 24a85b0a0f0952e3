# Every target does its own set-up: Python 3.11+ and make are all it takes. With uv the lock file is
# installed as it is; without uv, venv and pip install the versions that the lock file names.

PYTHON ?= python3
BIN    := .venv/bin
ARGS   ?=

# make demo                                    a recording of a real model, no key, no network
# make demo MODEL=anthropic/claude-sonnet-4-5  the same with a live model
# make demo MODEL=local/any API_BASE=http://127.0.0.1:8080/v1
MODEL    ?=
API_BASE ?=
LIVE     := $(if $(MODEL),--model $(MODEL)) $(if $(API_BASE),--api-base $(API_BASE))

.DEFAULT_GOAL := help
.PHONY: help demo test check covered format-check lint types floors spelling format bench record clean

help:
	@echo "make demo     run the harness on a real brief: kill it, resume it, see the result"
	@echo "make test     run the tests              (ARGS='-m \"not slow\"' leaves the slow ones out)"
	@echo "make check    all that CI runs: format, lint, types, floors, spelling, tests and their coverage"
	@echo "make format   rewrite the files as the formatter wants them"
	@echo "make bench    measure the engine         (ARGS='--peers all' measures others beside it)"
	@echo "make record   record the demo's model    (MODEL= and API_BASE= name it)"
	@echo "make clean    remove the environment and every cache"

demo: .venv/.$(if $(MODEL)$(API_BASE),agent,base)
	@$(BIN)/python examples/demo.py $(LIVE) $(ARGS)

record: .venv/.agent
	@$(BIN)/python examples/record.py $(LIVE) $(ARGS)

# The driver stands in .venv; what it measures, Loom too, gets environments in LOOM_BENCH_ENVS or the user's cache.
bench: .venv/.bench
	@$(BIN)/python -m bench $(ARGS)

test: .venv/.dev
	$(BIN)/pytest $(ARGS)

check: format-check lint types floors spelling covered

# The tests, which must take every branch of the core.
covered: .venv/.dev
	$(BIN)/pytest --cov=loom.core --cov-branch --cov-fail-under=100 $(ARGS)

format-check: .venv/.dev
	$(BIN)/ruff format --check

lint: .venv/.dev
	$(BIN)/ruff check

types: .venv/.dev
	$(BIN)/mypy -p loom
	$(BIN)/mypy tests examples
	$(BIN)/pyright

floors: .venv/.dev
	$(BIN)/lint-imports --no-logo

spelling: .venv/.dev
	$(BIN)/codespell

format: .venv/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build dist *.egg-info .coverage .*_cache .hypothesis .loom

# Four sizes of environment: what `import loom` needs, with pyperf, with model clients, with all tools.
# --inexact: a small one never removes what a large one has put there.
# uv finds a Python by itself unless one was asked for.
UV_PYTHON_WISH := $(if $(filter file,$(origin PYTHON)),,--python $(PYTHON))
UV_base  := --no-dev
UV_bench := --no-dev --group bench
UV_agent := --no-dev --extra agent
UV_dev   := --all-extras
PIP_base  := -e .
PIP_bench := -e . --group bench
PIP_agent := -e ".[agent]"
PIP_dev   := -e ".[agent]" --group dev

.venv/.%: pyproject.toml uv.lock .ci/pins.py
	@echo "Setting up .venv ($*) ..."
	@if uv --version >/dev/null 2>&1; then \
	    uv sync --locked --quiet --inexact $(UV_PYTHON_WISH) $(UV_$*); \
	else \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Loom needs Python 3.11 or newer; name one with make PYTHON=...")' && \
	    { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv; } && \
	    $(BIN)/python .ci/pins.py > .venv/pins.txt && \
	    $(BIN)/python -m pip install -qq "pip>=25.1" && \
	    $(BIN)/python -m pip install -qq --constraint .venv/pins.txt $(PIP_$*); \
	fi
	@touch $@

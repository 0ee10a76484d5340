# `make run` and `make test` set up .venv by themselves, and again only when pyproject.toml or constraints.txt change.
# PYTHON names the interpreter to build it from; ARGS is added to the command that a target runs.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
DIST ?= dist
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet -c constraints.txt
# One thread each: two OpenMP threads beside another busy process are many times slower than one. Byte code is kept, also
# where the shell says otherwise: both processes would compile every test file again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 GOMP_SPINCOUNT=0 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What the last line says if an installation fails; the lines of pip above it have the reason.
NOT_INSTALLED := { echo "the packages of constraints.txt could not be installed: see the lines above; without a network, name an index on this machine (PIP_INDEX_URL, PIP_FIND_LINKS), then run the same command again" >&2; exit 1; }

OUT ?= runs/gpu-$(shell date +%Y-%m-%d-%H%M%S)

.PHONY: run test slow long gpu lint ruff types wheel clean FORCE

run: $(VENV)/.run
	@$(BIN)/python -m worldbench run taxi $(ARGS)

test: $(VENV)/.dev
	@$(PYTEST) -m "not slow and not long" $(ARGS)

slow: $(VENV)/.dev
	@$(PYTEST) -m "slow and not long" $(ARGS) || { status=$$?; test $$status -eq 5 || exit $$status; }

# Many minutes: the coverage of intervals in every world, and every compiled objective. .ci/run leaves them out.
long: $(VENV)/.dev
	@$(PYTEST) -m long $(ARGS)

# If PYTHON is named, its packages are used as they are, and nothing is installed: a CUDA build of torch may be there.
ifeq ($(origin PYTHON),file)
gpu: $(VENV)/.dev
	@.ci/gpu "$(BIN)/python" "$(OUT)"
else
gpu:
	@.ci/gpu "$(PYTHON)" "$(OUT)"
endif

lint: ruff types

ruff: $(VENV)/.dev
	@$(BIN)/python -m ruff check . $(ARGS) && $(BIN)/python -m ruff format --check --quiet .

# On the unpacked wheel: type checkers do not see through the package-dir mapping of an editable install.
types: $(VENV)/.dev
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(MAKE) --no-print-directory wheel DIST="$$folder/dist" && \
	$(INSTALL) --no-deps --target "$$folder/unpacked" "$$folder"/dist/worldbench-*.whl && \
	cp pyproject.toml "$$folder/unpacked/" && cd "$$folder/unpacked" && \
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

# setuptools would pack whatever an earlier build left in build/.
wheel: $(VENV)/.dev
	@rm -rf build
	@$(BIN)/python -m pip wheel --disable-pip-version-check --no-input --quiet --no-deps --wheel-dir "$(DIST)" .
	@rm -rf build
	@ls "$(DIST)"/worldbench-*.whl

clean:
	rm -rf $(VENV) build dist worldbench.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: $(VENV)/.here pyproject.toml constraints.txt
	@echo "Installing worldbench into $(VENV) (about a minute, once) ..."
	@$(INSTALL) -e . || $(NOT_INSTALLED)
	@touch $@

$(VENV)/.dev: $(VENV)/.here pyproject.toml constraints.txt
	@echo "Installing worldbench and its test tools into $(VENV) (about a minute, once) ..."
	@$(INSTALL) -e '.[dev]' || $(NOT_INSTALLED)
	@touch $(VENV)/.run $@

# A folder that was copied or moved holds an environment that points at the old place.
ifneq ($(shell cat $(VENV)/.here 2>/dev/null),$(CURDIR))
$(VENV)/.here: FORCE
endif
$(VENV)/.here:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "worldbench needs Python 3.11 or newer, and '$(PYTHON)' is older or missing; name another: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "'$(PYTHON)' lacks the venv module; install it (Debian and Ubuntu: apt install python3-venv), then run the same command again" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "$(CURDIR)" > $@

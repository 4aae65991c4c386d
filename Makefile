# Two commands matter: `make demo` and `make test`. Each sets itself up in .venv,
# once; a stamp file records what is installed, so a repeat costs nothing.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := .venv-peers
JAX    := .venv-jax
SCALE  := .venv-scale

# What an installation depends on; changing one of these installs again.
SETUP := pyproject.toml constraints.txt $(wildcard snntorch-hook/*)

# The other frameworks, and what they need in order to be imported.
PEER_LISTS := benchmarks/peers.txt benchmarks/peers-no-deps.txt

# Both stamps install into the same .venv, so never at once.
.NOTPARALLEL:
.PHONY: help demo test coverage format peers bench zoo deploy wheels scale fuzz mutants soak load kill clean

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## run a trained network on handwritten digits
	@$(BIN)/python examples/digits_demo.py

# Several processes with threads of their own share the cores: waiting threads had better sleep.
# What pytest makes of the tests, and Python of t1c, is compiled once for all processes. Where
# T1C_SLOW is set, as in CI, slow tests run too, whole grids, and more random examples.
test: $(VENV)/.dev ## lint, imports, types, tests
	@echo "== lint (ruff check)"
	@$(BIN)/ruff check .
	@echo "== format (ruff format --check)"
	@$(BIN)/ruff format --check .
	@echo "== imports (lint-imports)"
	@$(BIN)/lint-imports --no-logo --no-cache
	@echo "== types (mypy) beside tests (pytest)"
	@$(BIN)/mypy & types=$$!; \
		PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=passive \
		$(BIN)/python -m pytest -q -n auto --dist worksteal $(if $(T1C_SLOW),,-m 'not slow'); \
		tests=$$?; wait $$types && exit $$tests

# All tests, the slow ones too. Being traced, Python takes a third longer: not each time.
coverage: $(VENV)/.dev ## the tests once more, and which lines and branches they run: 95 % at least
	@T1C_SLOW=1 OMP_WAIT_POLICY=passive \
		$(BIN)/python -m pytest -q -n auto --dist worksteal --cov --cov-report=term

format: $(VENV)/.dev ## rewrite the code in the project's format, mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

fuzz: $(VENV)/.dev ## read files changed where it hurts, and tricks, and count (CASES=100000)
	@$(BIN)/python benchmarks/hostile.py --cases '$(or $(CASES),100000)' --seed '$(or $(SEED),0)' \
		--keep build/fuzz --page docs/security.md
	@$(BIN)/python benchmarks/large_pages.py --page docs/security.md

peers: $(PEERS)/.done ## compare with other frameworks on the same NIR files
	@$(PEERS)/bin/python benchmarks/nir_peers.py --page docs/nir.md

bench: $(PEERS)/.done $(JAX)/.done ## measure speed and memory beside other frameworks (ROWS=mlp,step: some rows; DEVICE=cuda)
	@$(PEERS)/bin/python benchmarks/bench.py --rows '$(ROWS)' --device '$(or $(DEVICE),cpu)' --pages
	@$(PEERS)/bin/python benchmarks/step_parts.py --page docs/performance.md

# The models come from the frameworks that the tests use.
zoo: $(VENV)/.dev ## export public models, run them beside their graphs (ONLY=norse: some)
	@OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/model_zoo.py --only '$(ONLY)' --page docs/zoo.md

# Compilers for other processors are Debian's; what is not installed is said in the table.
deploy: $(VENV)/.dev ## run networks in C, ONNX and torch programs beside the reference
	@OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/deploy_table.py --page docs/deploy.md

wheels: ## build a release into dist/ and try it on each Python at hand (TORCH=1: with torch too)
	@$(PYTHON) release/wheels.py --pythons '$(PYTHONS)' $(if $(TORCH),--torch)

# A Ray cluster of two nodes takes a minute to start and to lose: not each time.
scale: $(SCALE)/.done ## score shards while workers, nodes of a Ray cluster and whole runs are lost
	@OMP_WAIT_POLICY=passive T1C_SCALE=1 $(SCALE)/bin/python -m pytest -q tests/test_scoring_ray.py
	@OMP_WAIT_POLICY=passive $(SCALE)/bin/python benchmarks/score_scale.py --page docs/distributed.md
	@$(SCALE)/bin/python benchmarks/score_memory.py --page docs/distributed.md

# mutmut is for this alone.
mutants: $(VENV)/.dev ## change the code of ir in small ways, count which the tests notice (ONLY=interval: a file)
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'mutmut>=3.8,<4'
	@$(BIN)/python benchmarks/mutants.py --only '$(ONLY)' --page docs/mutants.md

# A few minutes each on a quiet machine: the reference steps a million times; files grow to 1 GiB.
soak: $(VENV)/.dev ## stream a million steps beside the reference, from threads and processes too
	@OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/soak.py --page docs/reliability.md

load: $(VENV)/.dev ## open graphs of 10,000 nodes and files of 1 GiB
	@OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/load.py --page docs/reliability.md

kill: $(VENV)/.dev ## kill writers and fill disks, and count what is left (KILLS=1000 of each kind)
	@$(BIN)/python benchmarks/kills.py --kills '$(or $(KILLS),400)' --page docs/reliability.md

clean: ## remove the environment and everything generated
	@rm -rf $(VENV) $(PEERS) $(JAX) $(SCALE) build dist htmlcov .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.demo: $(SETUP)
	$(call install,demo)
	$(bytecode)
	@touch $@

# The development set holds all that the demo needs. Behind it come the frameworks whose neurons are
# exported, for the tests that compare with them, without what they would pull in (see the lists).
$(VENV)/.dev: $(SETUP) $(PEER_LISTS)
	$(call install,dev)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt \
		-r benchmarks/peers.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile --no-deps \
		-r benchmarks/peers-no-deps.txt
	$(bytecode)
	@touch $@ $(VENV)/.demo

# The other frameworks, in an environment of their own (see the two lists).
$(PEERS)/.done: $(SETUP) $(PEER_LISTS)
	@echo "== installing the other frameworks into $(PEERS) (once; a minute or two)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		-e '.[torch]' -r benchmarks/peers.txt
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check --no-deps \
		-r benchmarks/peers-no-deps.txt
	@touch $@

# JAX and what is built on it, which torch's frameworks never see: it runs in processes of its own.
$(JAX)/.done: benchmarks/peers-jax.txt
	@echo "== installing JAX's frameworks into $(JAX) (once; a minute)"
	@$(PYTHON) -m venv --clear $(JAX)
	@$(JAX)/bin/python -m pip install -q --disable-pip-version-check -r benchmarks/peers-jax.txt
	@touch $@

# Ray, and what its tests need, in an environment of their own.
$(SCALE)/.done: $(SETUP)
	@echo "== installing Ray into $(SCALE) (once; a minute)"
	@$(PYTHON) -m venv --clear $(SCALE)
	@$(SCALE)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		-e '.[ray]' hypothesis pytest
	@touch $@

# $(call install,EXTRA): an editable install with that extra, in a .venv that is
# made anew only where it is missing, broken or of too old a Python.
define install
@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "t1c needs Python 3.11 or newer with its venv module; '$(PYTHON)' is not that:" >&2; \
		echo "  $$($(PYTHON) --version 2>&1)" >&2; \
		echo "Name another one, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'." >&2; \
		echo "On Debian and Ubuntu the venv module comes with 'apt install python3-venv'." >&2; \
		exit 1; }; \
	echo "== making $(VENV)" && $(PYTHON) -m venv --clear $(VENV); }
@echo "== installing t1c[$(1)] into $(VENV) (once; a minute or two)"
@$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt \
	-e '.[$(1)]'
endef

# What pip does by itself, half a minute on one core, here on all of them. As there, a file that is
# no Python of this version does not matter.
define bytecode
@$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true
endef

# From a bare Debian 12 to a running house: `make up`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up build test pytest bench profile pgo types style fuzz sanitize clean

PYTHON ?= python3
VENV := .venv
# -P: the root must never be on sys.path, or `core.errors` becomes a second module beside `hotpath.core.errors`.
PY := $(VENV)/bin/python -P
# Servers are started a thousand times here: what Python has compiled of them it must be allowed to keep.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

up: build  ## build whatever is missing, start everything (ARGS="--listen 127.0.0.1:9000")
	@exec $(VENV)/bin/hotpath up $(ARGS)

# Cython's own -Werror passes over performance hints, so make looks for them, and touches the culprits: the next try sees them again.
# Python's flags have -g, which takes gcc a quarter of its time and serves only a debugger: it comes back with CFLAGS=-g.
C = $(PY) -c 'import sysconfig; print(sysconfig.get_config_var("CFLAGS"))'
build: $(VENV)/.ready  ## the extension modules, in place
	@test -n "$$(find -L hotpath -name '*.so' -print -quit)" || echo 'compiling the hot paths: once, some minutes (build.log)'
	@CFLAGS="$$($(C)) -g0 $(CFLAGS)" $(PY) setup.py build_ext --inplace --parallel $$(nproc) > build.log 2>&1 \
	    || { cat build.log; exit 1; }
	@! grep "performance hint" build.log || { touch $$(grep -o 'hotpath/[^: ]*\.p[xy][dx]' build.log | sort -u); exit 1; }

test:  ## set up what the tests need, then style, types and all tests (ARGS="tests/core -k ring")
	@.ci/packages build test
	@$(MAKE) --no-print-directory --keep-going --jobs 2 style types pytest

# So many tests at a time, twice as many as small machines have CPUs, as tests mostly wait: files go whole to one worker, which has
# servers of its own. N=0: in one process, as bare pytest.
N := 4
pytest: build $(VENV)/.dev
	@$(VENV)/bin/pytest --numprocesses $(N) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: build $(VENV)/.dev  ## the rivals and us, interleaved (ARGS="proxy")
	@.ci/packages build test bench
	@$(PY) bench $(or $(ARGS),all)

SYSTEM := proxy
profile: build $(VENV)/.dev  ## flame graphs, and CPU and system calls for each unit of work (SYSTEM=shard|ide|crdt|locking|chat|core)
	@.ci/packages build test bench
	@$(PY) bench system --system $(SYSTEM) $(ARGS)

pgo: build $(VENV)/.dev  ## the extension modules once more, as a load has taught the compiler; `make clean build` goes back
	@.ci/packages build test bench
	@bench/pgo.sh

docs: build  ## the configuration reference of the pages, out of the classes (ARGS=--check)
	@$(PY) docs/reference.py $(ARGS)

types: build $(VENV)/.dev  ## mypy strict; the .pyi against what was compiled
	@$(VENV)/bin/mypy
	@$(VENV)/bin/stubtest --concise --allowlist .ci/stubtest-allow --ignore-unused-allowlist \
	    $$(find -L hotpath -name '*.pyi' | sed 's/\.pyi$$//; s|/|.|g' | sort)

style: $(VENV)/.dev  ## ruff
	@$(VENV)/bin/ruff check .

FUZZ_S := 60
fuzz: build $(VENV)/.dev  ## the parsers against hostile bytes (FUZZ_S=600)
	@.ci/packages fuzz
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tests/fuzz/run $(FUZZ_S)

sanitize: $(VENV)/.dev  ## the core's tests under AddressSanitizer and UBSan, in copies of the tree
	@.ci/sanitize $(ARGS)

clean:  ## everything that was built; the venv stays
	@find -L hotpath \( -name '*.so' -o -name '*.c' \) -delete
	@find . -path ./$(VENV) -prune -o -name __pycache__ -print0 | xargs -0 rm -rf
	@rm -rf build dist build.log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage*

# Two stamps, so that running the house does not wait for what only its developers need.
$(VENV)/.ready: pyproject.toml
	@.ci/packages build
	@echo 'setting up $(VENV)'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check $$($(PY) -c \
	    'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	@HOTPATH_SKIP_EXTENSIONS=1 $(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.ready
	@HOTPATH_SKIP_EXTENSIONS=1 $(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@touch $@

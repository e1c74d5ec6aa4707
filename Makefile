# Two commands matter: `make demo` and `make test`. Each sets up what it needs; Python 3.11 or later and make are enough.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-slow docs bench lab sync save lock clean
help:
	@echo "make demo       the whole idea on drawn radiographs; writes runs/demo/index.html"
	@echo "make test       library in sync, notebooks run, docs rendered, links checked"
	@echo "make test-slow  the same with the slow cells and the tutorials"
	@echo "make docs       the docs site, in _docs/"
	@echo "make bench      ratios against other libraries, turn by turn; writes benchmarks/results/bench.csv"
	@echo "make lab        JupyterLab on nbs/"
	@echo "make sync       export the library from the notebooks, clean them, write README.md"
	@echo "make save       run the notebooks and keep their outputs (one: make save NB=04_metrics)"
	@echo "make lock       resolve the versions of requirements.lock anew"

setup: .venv/.ready
.venv/.ready: requirements.lock settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3,11))' || { echo "Python 3.11 or later is needed; found: $$($(PYTHON) --version). Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@if command -v uv >/dev/null; then [ -x $(BIN)/python ] || uv venv --quiet --python $(PYTHON) .venv; \
	 else [ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; [ -x $(BIN)/uv ] || { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; $(BIN)/python -m pip install --quiet uv; }; fi
	@echo "installing the locked versions into .venv (several GB the first time, since PyPI's torch brings CUDA)"
	@PATH="$(BIN):$$PATH" uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@PATH="$(BIN):$$PATH" uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: setup
	@$(BIN)/cxr_demo --out runs/demo

test: setup
	@$(BIN)/python tools/check.py

test-slow: setup
	@$(BIN)/python tools/check.py --slow

docs: setup
	@$(BIN)/python tools/docs.py

bench: setup
	@PATH="$(BIN):$$PATH" uv pip install --quiet --python $(BIN)/python --editable '.[bench,onnx]'
	@$(BIN)/python benchmarks/bench.py

lab: setup
	@$(BIN)/jupyter lab nbs

sync: setup
	@$(BIN)/python tools/sync.py

save: setup
	@$(BIN)/python tools/notebooks.py --save $(NB)
	@$(BIN)/python tools/sync.py

lock: .venv/.ready
	@PATH="$(BIN):$$PATH" uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate setup.py --extra dev -o requirements.lock

clean:
	rm -rf _proc _docs build dist runs .venv

# The list of things to do. `make help` prints it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Another package index for torch, e.g. make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
       $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

CONFIG := configs/StiCA/R2plus1D_pretrain.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format smoke bench bench-decode ablation controls campaigns campaigns-full gpu docs docs-site \
        wheel clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.run  ## install, then train StiCA on the built-in demo set (CPU, minutes)
	$(BIN)/python tools/run_net.py --cfg $(CONFIG)

# Two processes with spinning threads on two cores take minutes for a step of seconds.
test test-all campaigns campaigns-full: export OMP_NUM_THREADS ?= 1

test: $(VENV)/.dev  ## every unmarked test
	$(BIN)/python -m pytest -q -n 2

test-all: $(VENV)/.dev  ## also the slow, distributed, av and browser tests
	$(BIN)/python -m pytest -q -n 2 -m "not gpu"

check: $(VENV)/.dev docs-site  ## lint, format, types, layers, generated documentation, the site's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for name in $(notdir $(wildcard projects/*)); do MYPYPATH=projects/$$name $(BIN)/mypy projects/$$name/$$name || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/method_figure.py --check
	$(BIN)/python benchmarks/make_tables.py --check

format: $(VENV)/.dev  ## fix what can be fixed by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

smoke: $(VENV)/.dev  ## the wheel outside of the clone, and each command a user types, in miniature
	$(BIN)/python tests/smoke.py

bench: $(VENV)/.dev  ## measure; writes benchmarks/results/*.json
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done
	$(BIN)/python benchmarks/make_tables.py

PEERS := build/bench_peers

bench-decode: $(VENV)/.dev  ## decoding against torchcodec, decord2, PyAV, OpenCV and FFmpeg (10 minutes)
	@$(PIP) --no-deps --target $(PEERS) --upgrade -r benchmarks/peers/requirements.txt || \
	    echo "the peers of benchmarks/peers/requirements.txt could not be installed: measured without them"
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/bench_decode.py
	$(BIN)/python benchmarks/make_tables.py

# Also from a checkout without network and environment: then with $(PYTHON).
gpu:  ## on a GPU, in 8 minutes: tests, step times, limits, data, StiCA on real clips (CACHE=clips.npz)
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu/run.py $(if $(CACHE),--cache $(CACHE))

SWEEP  := $(BIN)/python tools/sweep_net.py --jobs 2 --sweep configs/StiCA/sweeps
REPORT := $(BIN)/python projects/stica/report_ablation.py
OF     := output/sweeps/demo
CONTROLS := demo_controls demo_released demo_r2plus1d

ablation: $(VENV)/.dev  ## which idea helps: table and figure of projects/stica/RESULTS.md (35 minutes)
	$(SWEEP)/demo_ablation.yaml
	$(REPORT) $(OF)_ablation/sweep.json --out docs/evidence/demo_ablation
	cp $(OF)_ablation/sweep.json docs/evidence/demo_ablation.json

controls: ablation  ## its controls, another backbone, the released code's decisions (another 1.5 hours)
	for sweep in $(CONTROLS); do $(SWEEP)/$$sweep.yaml || exit 1; done
	$(REPORT) $(OF)_ablation/sweep.json $(CONTROLS:%=output/sweeps/%/sweep.json) \
	    --out docs/evidence/demo_controls
	for sweep in $(CONTROLS); do cp output/sweeps/$$sweep/sweep.json docs/evidence/$$sweep.json; done
	$(BIN)/python projects/stica/report_factors.py $(OF)_ablation --out docs/evidence/demo_factors

campaigns: $(VENV)/.dev  ## a sample of each campaign of docs/reliability.md, and its table (90 minutes)
	$(BIN)/python tests/campaigns/common.py; status=$$?; $(BIN)/python docs/generate.py && exit $$status

campaigns-full: $(VENV)/.dev  ## all of each campaign (hours; continues after an interruption)
	$(BIN)/python tests/campaigns/common.py --full; status=$$?; $(BIN)/python docs/generate.py && exit $$status

docs: $(VENV)/.dev  ## write the generated pages and the figure of the method
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/method_figure.py

docs-site: $(VENV)/.dev  ## build the documentation site into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

wheel: $(VENV)/.dev  ## build dist/*.whl
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what was built here (not the environment, not output/)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.py constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (once; a few minutes)"
	$(PIP) --editable ".[report,embed]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the development tools into $(VENV) (once)"
	$(PIP) --editable ".[report,embed,search,hub,transformers,onnx,notebook,eval,slurm,dev,docs]"
	@touch $@

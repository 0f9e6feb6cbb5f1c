# Every target needs `install`: a virtual environment with the pinned versions of constraints.txt.
# uv is used when it is on the PATH, else venv and pip; the result is the same.
PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
MAKE_VENV = uv venv --quiet --allow-existing --seed --python $(PYTHON) $(VENV)
# pip reads find-links from PIP_FIND_LINKS, uv from UV_FIND_LINKS; unsafe-best-match is how pip treats several indexes
INSTALL = UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" uv pip install --quiet --compile-bytecode --python $(PY) --constraint constraints.txt
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
endif

# compile the loops that embed texts now, so that the first use need not wait
COMPILE = $(PY) -c 'from m2v_bench.inference.fast.loading import compile_ahead; print("compiled loops:", compile_ahead())'

# one stamp per set of extras; newer pins or requirements make it stale
stamp = $(VENV)/.installed$(if $(1),-$(1))
PINS = pyproject.toml constraints.txt

.PHONY: run test install lint ui parity golden bench-run bench-distill bench-launchers bench-speed bench-scoring bench-training bench-scale figures
.PHONY: docs constraints clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(call stamp)  ## set up .venv with the pinned versions

run: $(call stamp)  ## distil, evaluate and log the default model
	$(PY) -m m2v_bench $(ARGS)

test: $(call stamp,test)  ## the whole test suite
	$(PY) -m pytest $(ARGS)

lint: $(call stamp,lint)  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

parity: $(call stamp,test)  ## the teacher's scores beside the published ones
	$(PY) -m benchmarks.parity

golden: $(call stamp,test)  ## regenerate tests/golden with the releases of model2vec that defined the dialects
	$(PY) -m scripts.golden $(ARGS)

bench-run:  ## time `make run` in a fresh clone with an empty cache
	$(PYTHON) benchmarks/fresh_clone.py

bench-distill: $(call stamp,test)  ## time and memory of a distillation beside model2vec 0.10
	$(PY) -m benchmarks.distill $(ARGS)

bench-launchers: $(call stamp,test)  ## the same sweep under every launcher: equal scores, wall times
	$(PY) -m benchmarks.launchers

bench-speed: $(call stamp,test)  ## embedding beside model2vec 0.10: ratios on new texts, by length and language, memory
	$(PY) -m benchmarks.encode $(ARGS)
	$(PY) -m benchmarks.languages $(ARGS)

bench-scoring: $(call stamp,test)  ## scoring beside stock mteb and model2vec 0.10: ratios per task and type, a sweep
	$(PY) -m benchmarks.scoring $(ARGS)

bench-training: $(call stamp,test)  ## training beside tokenlearn on the texts of CORPUS: texts per second, memory
	$(PY) -m benchmarks.training $(CORPUS) $(ARGS)

bench-scale: $(call stamp,test)  ## how the cost of a sweep grows, and what a large one would cost
	$(PY) -m benchmarks.scale

figures: $(call stamp)  ## put figures, tables and settings into README, docs/, experiments/: from results/ and the schema
	$(PY) -m scripts.figures $(ARGS)
	$(PY) -m scripts.settings_page
	$(PY) -m scripts.tasks_page

docs: $(call stamp,docs)  ## build the site of README, docs/, experiments/ and the leaderboard of results/paper into site/
	$(VENV)/bin/m2v-bench leaderboard results/paper/*.parquet --out build/site/leaderboard.html
	$(VENV)/bin/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --conf-dir docs . site

ui: $(call stamp)  ## open the MLflow pages of the runs made here
	@echo "http://127.0.0.1:5000 shows the runs; Ctrl+C ends"
	@MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_LOGGING_LEVEL=WARNING PYTHONWARNINGS=ignore \
		$(VENV)/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db --registry-store-uri sqlite:///mlflow.db \
		--uvicorn-opts '--log-level warning'

constraints: $(call stamp,test) $(call stamp,lint) $(call stamp,docs)  ## regenerate constraints.txt from what is installed
	@{ head -1 constraints.txt; $(PY) -m pip freeze --exclude-editable --exclude m2v-bench | sed 's/+cpu//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove .venv; results and caches stay
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(MAKE_VENV)

$(call stamp): $(VENV)/bin/python $(PINS)
	$(INSTALL) --editable '.[bench]'
	@$(COMPILE)
	@touch $@

$(call stamp,test) $(call stamp,lint) $(call stamp,docs): $(call stamp,%): $(VENV)/bin/python $(PINS)
	$(INSTALL) --editable '.[bench,$*]'
	@$(COMPILE)
	@touch $@

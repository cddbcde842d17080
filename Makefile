# make app   everything from a clean clone to the open workbench
# make test  the whole test suite
# make check format, lint, types, floors
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
PINS := constraints.txt constraints-litellm.txt
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: app test check screenshots clean

app: .venv/.app
	@$(BIN)/workbench app --port $(PORT)

test: .venv/.dev
	HF_HUB_OFFLINE=1 $(BIN)/pytest -n 2 --dist loadfile --ignore tests/browser
	HF_HUB_OFFLINE=1 $(BIN)/pytest tests/browser

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.pip: $(PINS)
	@echo "Making .venv and installing (about two minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-warn-conflicts --require-hashes -r constraints-litellm.txt
	@$(INSTALL) --no-warn-conflicts torch==2.13.0
	@touch $@

.venv/.app: .venv/.pip pyproject.toml
	@$(INSTALL) -e '.[train,offline]'
	@touch $@

.venv/.dev: .venv/.app
	@$(INSTALL) -e '.[train,offline,postgres,onnx,ray,tracking,dev]'
	@touch $@

screenshots: .venv/.dev
	WORKBENCH_SCREENSHOTS=docs/images $(BIN)/pytest tests/browser

clean:
	rm -rf .venv var build *.egg-info

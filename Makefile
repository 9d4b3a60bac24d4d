# setup: a virtual environment with the tested versions.   check: style, types, import layers.
# test: all tests.   demo: train, evaluate and measure the embedded row, about 5 minutes.
# parity: compare with the references again and write zoo/parity.json.   table: write the pages of the zoo.
# docs: build the site of the guides in site/, without a warning or a link that leads nowhere.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup check test demo parity table docs

setup: .venv/ready

# torch and torchvision come from pip alone: other installers fetch gigabytes of CUDA packages even on a CPU machine
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"cvzoo needs Python 3.11 or newer, this is {sys.version}"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lite,dev]'
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: setup
	$(BIN)/pytest --numprocesses 2 --dist worksteal

demo: setup
	$(BIN)/cvzoo train retinanet_r18_fpn_shapes --run.out runs/demo

parity: setup
	$(BIN)/pytest --numprocesses 2 --dist worksteal tests/parity \
		--ignore tests/parity/test_evidence.py --parity zoo/parity.json

table: setup
	$(BIN)/cvzoo table

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: .venv/docs
	$(BIN)/python website/build.py

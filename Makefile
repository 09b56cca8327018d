# make demo   sets itself up, then exports, builds, validates and draws a picture
#             (CHECKPOINT=... DATA=camvid:DIR SIZE=HxW ISR=16,8,4,1)
# make test   sets itself up, then lints, type-checks, checks the floors and tests
# make serve  sets itself up, then serves the demo model with NVIDIA's Triton on the CPU, until Ctrl-C
# make triton fetches that server: 55 MB, into .triton; for Linux on x86-64

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CHECKPOINT ?=
DATA ?=
SIZE ?= 360x480
ISR ?= 16,8,4,1
TRITON := .triton
# The server is in a wheel for Linux on x86-64; elsewhere its tests are skipped
TRITON_HERE := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),$(TRITON)/installed)

# What is fetched stays in the checkout: a continuous integration's user may have no home
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv

.PHONY: demo serve test lint setup triton clean

demo: setup
	OMP_WAIT_POLICY=passive $(BIN)/python tools/demo.py --size $(SIZE) --isr $(ISR) $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)") $(if $(DATA),--data "$(DATA)")

serve: setup triton
	OMP_WAIT_POLICY=passive $(BIN)/python tools/serve.py

# Threads that wait by sleeping cost nothing alone, and a hundredfold less where the cores are shared
test: setup lint $(TRITON_HERE)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt tools/tensorrt_typings.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'make needs Python 3.11 or newer: PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'pip>=25.1'
	@echo "Installing PyTorch, ONNX Runtime, TensorRT-RTX, OpenCV and what the tests need into $(VENV):"
	@echo "2.4 GB with PyTorch's CPU build, more with its CUDA build; each package is a line."
	$(BIN)/python -m pip install --progress-bar off -c constraints.txt --group dev -e '.[export,rtx,video,camera,plots,segformer,cluster,triton]'
	@# The tests' reference for its checkpoints; both want torchvision, which nothing here uses
	$(BIN)/python -m pip install --progress-bar off -c constraints.txt --no-deps segmentation-models-pytorch timm
	$(BIN)/python tools/tensorrt_typings.py
	touch $@

triton: $(TRITON)/installed

# A folder of its own: nobody imports it, and what pytriton asks for (numpy<2) is not wanted
$(TRITON)/installed: tools/tritonserver.txt | $(VENV)/installed
	rm -rf $(TRITON)
	$(BIN)/python -m pip install -q --no-deps --only-binary=:all: --target $(TRITON) -r $<
	touch $@

clean:
	rm -rf $(VENV) $(TRITON) .typings .classic build demo *.egg-info

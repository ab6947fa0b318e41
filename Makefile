PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check
READY := .venv/.ready
REFERENCE := .venv/.reference
SERVERS := .servers/.ready
GUESTS := .guests/.ready
STATISTICS := .statistics/.ready
OLDEST := .oldest/.ready
ON_RAY := tests/loaders/points/test_ray.py
PACKAGE := __init__.py api.py given.py lazy.py store.py cli.py errors.py extras.py plugins.py private_files.py documents.py plain_text.py progress.py provenance.py saved_cohorts.py told_groups.py workspace.py py.typed analysis commands connectors encoders harness loaders measures records reports search

# A module that is imported is compiled once and kept, whatever the shell says: hundreds of tests start a Python.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo docs set-up test test-ray quick test-quick test-oldest test-newest test-python check bench bench-ours bench-load bench-retrieval bench-sepsis fuzz soak lock clean
.DELETE_ON_ERROR:

# What every command imports is compiled once, for the hundreds of processes of the tests: 1.8 s each, where Python may not write.
COMPILED := anyio dateutil duckdb google grpc httpx joblib numpy pandas psutil pyarrow pydantic pymilvus qdrant_client rich \
	safetensors scipy sklearn sqlglot tenacity typer

# torch comes first and alone: anything else would pull the CUDA build on a machine without a GPU. Most modules of these
# packages are never imported: compiling all of them took longer than all the rest.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --quiet --no-compile torch==2.13.0
	$(PIP) install --quiet --no-compile --no-deps --requirement requirements.lock
	$(BIN)/python -m compileall -q -j 0 $(addprefix $(BIN)/../lib/python3*/site-packages/,$(COMPILED))
	rm -rf build
	$(PIP) install --quiet --no-deps --editable .
	touch $@

# The annoy library has no wheel: only the tests of matched recall ask for a C++ compiler.
$(REFERENCE): $(READY) requirements-reference.lock
	$(PIP) install --quiet --no-deps --requirement requirements-reference.lock
	touch $@

$(SERVERS): tests/install_servers.sh
	PYTHON=$(PYTHON) tests/install_servers.sh

$(GUESTS): tests/install_guests.sh requirements-guests.lock
	PYTHON=$(PYTHON) tests/install_guests.sh

$(STATISTICS): tests/install_statistics.sh requirements-statistics.lock
	PYTHON=$(PYTHON) tests/install_statistics.sh

# Static tools can't see through an editable install; they read the package through these links.
.links/cohorts: Makefile
	rm -rf .links && mkdir -p $@
	for part in $(PACKAGE); do ln -s ../../$$part $@/$$part; done

demo: $(READY)  ## Set up, then ingest a synthetic hospital into embedded Qdrant and query it.
	BIN=$(BIN) bash docs/demo.sh

# One thread each: threads of two processes that wait for each other on two cores took four times as long. In the order
# of their names: those of few tests are long ones, and would come last, one process idle.
test:  ## Set up, with the real servers, then every check and test; three at a time, for they wait a third of it.
	$(MAKE) --jobs 3 --output-sync set-up
	$(MAKE) --jobs 2 --output-sync check test-ray
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder --ignore $(ON_RAY)

set-up: $(READY) $(REFERENCE) $(SERVERS) $(GUESTS) $(STATISTICS) .links/cohorts

# Half the processes wait for mypy at first: the tests begin beside it.
quick: $(READY) .links/cohorts  ## The checks, and the tests that need no server, no PyTorch and little time: some minutes.
	$(MAKE) --jobs 2 --output-sync check test-quick

test-quick: $(REFERENCE)
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses 2 --dist loadscope -m "not server and not torch and not slow and not fault"

# Of every folder what reads tables, counts words and asks an embedded engine: what older libraries would do otherwise.
SHORT := -m "not server and not torch and not slow and not fault" tests/commands/test_cli.py tests/encoders/test_lsa.py \
	tests/encoders/test_codes.py tests/encoders/test_word2vec.py tests/records/tables

$(OLDEST): requirements-oldest.lock pyproject.toml
	$(PYTHON) -m venv --clear .oldest
	.oldest/bin/pip install --quiet --no-compile torch==2.13.0
	.oldest/bin/pip install --quiet --no-compile --no-deps --requirement requirements-oldest.lock
	rm -rf build
	.oldest/bin/pip install --quiet --no-deps --editable .
	touch $@

test-oldest: $(OLDEST)  ## A short pass of the tests with the oldest libraries that pyproject.toml allows.
	OMP_NUM_THREADS=1 .oldest/bin/pytest --quiet --numprocesses 2 --dist loadscope $(SHORT)

test-newest:  ## The same pass with the newest of everything.
	$(PYTHON) -m venv --clear .newest
	.newest/bin/pip install --quiet --no-compile torch==2.13.0
	.newest/bin/pip install --quiet --no-compile --editable '.[embedded,hdf5,report,word2vec]' hypothesis pytest pytest-xdist
	OMP_NUM_THREADS=1 .newest/bin/pytest --quiet --numprocesses 2 --dist loadscope $(SHORT)

# Without PyTorch: of another Python a plain install pulls its CUDA build, some gigabytes, on a machine without a GPU.
test-python:  ## The same pass on another Python, with the locked libraries: make test-python PYTHON=python3.13
	$(PYTHON) -m venv --clear .python
	grep -v '^torch==' requirements.lock > .python/lock
	.python/bin/pip install --quiet --no-compile --no-deps --requirement .python/lock
	rm -rf build
	.python/bin/pip install --quiet --no-deps --editable .
	OMP_NUM_THREADS=1 .python/bin/pytest --quiet --numprocesses 2 --dist loadscope $(SHORT)

# Ray forks, and ends the whole process where it loses its cluster: not one in which others have used gRPC.
test-ray: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest $(ON_RAY)

check: $(READY) .links/cohorts  ## Lint, types, import table.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_layout.py

docs: $(READY) .links/cohorts  ## The documents' site, in out/site: strict, so that a link that leads nowhere ends it.
	$(BIN)/python -m mkdocs build --strict

bench: $(REFERENCE) $(SERVERS)  ## Every engine side by side on 50,000 synthetic vectors; the report is out/bench/engines/report.html.
	PYTHONPATH=tests $(BIN)/python benchmarks/engines.py

bench-ours: $(READY) $(SERVERS)  ## What our own code costs and gains; prints ratios measured in one run.
	for script in $(filter-out benchmarks/load.py benchmarks/records_by_duckdb.py benchmarks/engines.py benchmarks/retrieval_grid.py benchmarks/sepsis.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; PYTHONPATH=tests $(BIN)/python $$script || exit 1; done

bench-load: $(READY) $(SERVERS)  ## Our loader against the raw clients and langchain, in one run.
	$(PIP) install --quiet --no-deps --requirement requirements-bench.lock
	PYTHONPATH=tests $(BIN)/python benchmarks/load.py

bench-retrieval: $(READY)  ## Every encoder through both embedded engines and every index, on a synthetic hospital; resumable.
	PYTHONPATH=tests $(BIN)/python benchmarks/retrieval_grid.py

bench-sepsis: $(READY)  ## Focal loss against cross-entropy over five seeds, on a synthetic hospital; resumable.
	PYTHONPATH=tests $(BIN)/python benchmarks/sepsis.py

fuzz: $(READY)  ## 5,000 mutated tables, each read by both readers: rows, places, faults and remarks must be the same.
	COHORTS_FUZZED=5000 $(BIN)/pytest --numprocesses 2 tests/records/tables/test_fast_reading.py

soak: $(READY) $(SERVERS)  ## Kill an ingest 200 times, and resume it; restart both servers 20 times during a load.
	COHORTS_KILLS=50 $(BIN)/pytest --numprocesses 2 --dist loadscope --durations=0 \
		tests/faults/test_kills.py tests/faults/test_faults.py

lock: ## Write the locked sets from what a fresh environment resolves to today.
	rm -rf .venv.lock && $(PYTHON) -m venv .venv.lock
	.venv.lock/bin/pip install --quiet torch==2.13.0
	.venv.lock/bin/pip install --quiet '.[all,reference,dev]'
	.venv.lock/bin/pip freeze --exclude ehr-cohorts --exclude annoy | sed 's/+cpu//' > requirements.lock
	.venv.lock/bin/pip freeze | grep '^annoy==' > requirements-reference.lock
	rm -rf .venv.lock build *.egg-info

clean:
	rm -rf .venv .oldest .newest .python .servers .guests .statistics .links .mypy_cache .pytest_cache .ruff_cache build dist demo *.egg-info

# Each target is one thing to type. `make demo` and `make test` need Python >= 3.11, git and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
READY := .venv/ready

.PHONY: demo camvid test lint ui clean bench

demo: $(READY)   ## the whole graph on the built-in pair, then the comparison
	python -m stages.switch street && dvc repro compare@street && python -m stages.show

camvid: $(READY)   ## the same graph on real footage: make camvid CAMVID=path/to/SegNet/CamVid
	python -m stages.switch street_camvid camvid=$(CAMVID) && dvc repro compare@street_camvid && python -m stages.show

test: lint   ## lint, types, tests
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile

lint: $(READY)
	ruff check . && ruff format --check . && mypy

bench: $(READY)   ## every benchmark, one table
	python -m benchmarks.run

ui: $(READY)   ## MLflow's comparison of all runs, at http://127.0.0.1:5000
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true mlflow ui --backend-store-uri sqlite:///mlflow.db

clean:   ## everything the graph made, DVC's cache too; the environment and data/raw stay
	find data -mindepth 1 -maxdepth 1 ! -name raw -exec rm -rf {} + 2>/dev/null || true
	rm -rf .dvc/cache .dvc/tmp motion pairs pretrained models metrics evaluations reports checkpoints mlflow.db mlartifacts .prefect

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[pipeline,dev]'
	touch $(READY)

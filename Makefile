# Everything here works on a fresh clone: the first target that needs it sets up .venv inside the checkout.
#   make book PYTHON=python3.13    chooses the interpreter (3.11 to 3.13)

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready$(subst /,_,$(PYTHON))
# PyTorch, Transformers and PEFT, for one chapter and its tests alone: apart from the book's environment.
PEFT := .venv-peft
PEFT_READY := $(PEFT)/.ready$(subst /,_,$(PYTHON))
CORES ?= 2
PROFILE ?= default
PORT ?= 8000
# uv from the PATH where it runs, else our own copy below .uv
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)

# The accessibility checker of check-site: below .npm, from npm, which is needed for nothing else
AXE := .npm/node_modules/axe-core/axe.min.js

export UV_PROJECT_ENVIRONMENT := $(VENV)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test smoke lint notebook bench adapters calibrate check-site check-data reference reproduce
.PHONY: reproduce-threads faults mutate kills audit-packages zip pdf cluster serve clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(READY) $(if $(N),$(if $(findstring audit,$(N)),$(PEFT_READY)),$(PEFT_READY)) ## Execute what changed and build the site: _build/site/index.html (PROFILE=paper for large sizes)
	@$(RUN) -m lorantk.publishing.build book --cores $(CORES) --profile $(PROFILE) --only "$(N)" $(addprefix --threads=,$(THREADS))

test: lint $(PEFT_READY) ## Run the style checks and every test
	@$(RUN) -m pytest --ignore=tests/site --numprocesses $(CORES) --dist loadfile

smoke: $(READY) $(PEFT_READY) ## Execute every notebook at tiny sizes into _build/smoke (never published)
	@$(RUN) -m lorantk.publishing.build smoke --cores $(CORES)

lint: $(READY) ## Check style: ruff, notebooks without outputs, short cells, no typed result in the prose
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/nbstripout --keep-id --verify $(wildcard notebooks/*.ipynb)
	@$(RUN) -m lorantk.publishing.prose $(wildcard notebooks/*.ipynb book/*.md)
	@$(RUN) -m pytest --quiet tests/notebooks

notebook: $(READY) $(if $(findstring audit,$(N)),$(PEFT_READY)) ## Execute one notebook with other parameters and show it: make notebook N=nsd P="seed=7 profile=smoke"
	@$(RUN) -m lorantk.publishing.execute "$(N)" -p "$(P)"
	@$(RUN) -m lorantk.publishing.preview "$(N)"

bench: $(READY) ## Time kernels and spectra side by side into _build/bench (20 to 45 minutes; BENCH="--quick" to try)
	@$(RUN) benchmarks/run.py --uv "$(UV)" $(BENCH)

adapters: $(PEFT_READY) ## Make the PEFT adapters that the chapter on audits reads: _build/adapters
	@$(PEFT)/bin/python scripts/peft_adapters.py _build/adapters

calibrate: $(READY) ## Measure by simulation how often the book's intervals cover: book/trust/ledgers/calibration.json
	@$(RUN) -m lorantk.experiments.calibration book/trust/ledgers/calibration.json

check-site: $(READY) $(AXE) ## Open every page of the built site in headless Chromium; screenshots in _build/screenshots
	@$(RUN) -m pytest tests/site --numprocesses $(CORES) --dist worksteal

check-data: $(READY) ## Hold the data behind every figure of the build to the reference in expected/
	@$(RUN) -m lorantk.publishing.reference check

reference: $(READY) ## Take data of the build that do not agree with the reference as the new one (look at the changes before committing them)
	@$(RUN) -m lorantk.publishing.reference renew

reproduce: $(READY) ## Build the commit twice from fresh clones and print what differs (N="nsd gauge" for some; KEEP=1 keeps the result)
	@$(RUN) -m lorantk.publishing.reproduce bytes --cores $(CORES) --only "$(N)" $(if $(KEEP),--keep)

reproduce-threads: $(READY) ## Build the commit with other threads and instructions, as elsewhere, and check the data (THREADS=2, N=…, KEEP=1)
	@$(RUN) -m lorantk.publishing.reproduce threads --cores $(CORES) --only "$(N)" --threads $(or $(THREADS),2) $(if $(KEEP),--keep)

faults: $(READY) ## Plant faults in a copy, each of which tests and a chapter must catch: book/trust/faults.json (half an hour; N=name for one)
	@$(RUN) scripts/faults.py $(N)

mutate: $(READY) | $(filter .uv/%,$(UV)) ## Change the code at random places and run its tests: book/trust/mutation.json (hours; SAMPLE=800 SEED=0)
	@$(UV) run --quiet --no-sync --with cosmic-ray==8.7.0 scripts/mutate.py \
	  --sample $(or $(SAMPLE),800) --seed $(or $(SEED),0) --cores $(CORES)

kills: $(READY) ## Kill builds at random moments, build again and compare: book/trust/kills.json (half an hour; KILLS=50 SEED=0)
	@$(RUN) scripts/kills.py --kills $(or $(KILLS),50) --seed $(or $(SEED),0)

audit-packages: $(READY) | $(filter .uv/%,$(UV)) ## Look up known vulnerabilities of every locked package (pip-audit; asks PyPI)
	@$(UV) export --locked --all-groups --all-extras --no-emit-project --no-hashes --no-annotate --no-header --quiet \
	  | grep -v "'never'" > $(VENV)/.locked
	@for list in $(VENV)/.locked scripts/peft-requirements.txt; do echo "$$list" && $(UV) run --quiet --no-project --python $(RUN) \
	  --with pip-audit==2.10.1 pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$list || exit 1; done

zip: $(READY) ## Pack the built site for reading offline: _build/site/lorantk-book.zip
	@$(RUN) -m lorantk.publishing.takeaway zip

pdf: $(READY) ## Print the built site as one PDF by headless Chromium: _build/site/lorantk-book.pdf
	@$(RUN) -m lorantk.publishing.takeaway pdf

cluster: $(READY) ## Add what sends sweeps to SLURM or Kubernetes (see book/reproduce.md)
	@$(UV) pip install --quiet --python $(RUN) -r profiles/requirements.txt

serve: $(READY) ## Serve the built site on http://localhost:8000 (PORT=…)
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/site $(PORT)

environment.yml: uv.lock ## Write the conda and Binder environment anew from the lock
	@{ sed '/^  - pip:/q' $@; $(UV) export --locked --no-hashes --no-annotate --no-header --no-emit-project --quiet \
	  | grep -v -e '^neural-tangents==' -e "'never'" | sed 's/.*/      - "&"/'; } > $@.new && mv $@.new $@

clean: ## Remove everything generated (_build and Snakemake's notes), not the environment
	rm -rf _build .snakemake

# Compiled once: where Python may not write what it compiled, each process of a build would compile its packages anew.
$(READY): pyproject.toml uv.lock | $(filter .uv/%,$(UV))
	$(UV) sync --locked --compile-bytecode $(if $(PYTHON),--python $(PYTHON))
	@touch $@

# By plain pip, which may know of a PyTorch for CPUs that uv does not.
$(PEFT_READY): scripts/peft-requirements.txt
	$(or $(PYTHON),python3) -m venv --clear $(PEFT)
	$(PEFT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(AXE):
	npm install --prefix .npm --no-save --no-audit --no-fund --silent axe-core@4.14.1

.uv/bin/uv:
	$(or $(PYTHON),python3) -m venv .uv
	.uv/bin/python -m pip install --quiet uv==0.13.9

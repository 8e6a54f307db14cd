# The build graph: sweeps -> notebooks -> executed notebooks and records -> claims and figures -> site.
# Every rule is one command that can also be run by hand. `make book` starts Snakemake through lorantk.publishing.graph.build.
import json
import sys
from pathlib import Path

from lorantk.experiments.common import results
from lorantk.experiments.language import kept, study
from lorantk.fingerprint import content_hash, files, notebook_hash

NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
# The sweeps that each notebook reads, from its metadata.
READS = {stem: json.loads(Path(f"notebooks/{stem}.ipynb").read_bytes())["metadata"].get("sweeps", []) for stem in NOTEBOOKS}
# Two notebooks on two cores must not compete for them; a single one may use all. Setting the number shows what depends on it.
THREADS = int(config.get("threads", max(1, workflow.cores // max(1, len(NOTEBOOKS)))))
# The code that each notebook runs, found from its imports; changes to comments and docstrings do not count.
LOCK = content_hash(files("uv.lock"))
CODE = {stem: f"{notebook_hash(f'notebooks/{stem}.ipynb', Path.cwd())} {LOCK}" for stem in NOTEBOOKS}
EVERYTHING = content_hash(files("lorantk", "uv.lock"))
PAGES = [str(path) for path in files("book", "_config.yml", "_toc.yml", "CITATION.cff")]
EXECUTED = ["_build/{into}/{stem}.ipynb", "_build/{into}/records/{stem}", "_build/{into}/runs/{stem}.json"]
LISTS = ["_build/claims.json", "_build/figures/index.json", "_build/figures/durations.json"]
# What a chapter reads besides the package and the sweeps.
SERIES, TRADE_OFF = ([f"lorantk/experiments/digits/{name}.csv"] for name in ("series", "trade_off"))
REPORTED = [f"lorantk/experiments/{name}" for name in ("reported.json", "reported_runs.csv")]
STUDY = [str(path) for path in files("expected/language")]
MADE = {
    **dict.fromkeys(("31_backdoors", "32_rank", "33_variance", "37_practice"), SERIES),
    "15_code": REPORTED,
    "30_untargeted": SERIES + REPORTED,
    "38_verdicts": SERIES + TRADE_OFF + REPORTED,
    "44_kernel_to_training": [*TRADE_OFF, "lorantk/experiments/digits/frozen_grid.csv"],
    "39_who_is_right": [*SERIES, *(str(path) for path in files("lorantk/experiments/disputes") if path.suffix == ".csv")],
    "40_cost": [str(path) for path in files("benchmarks/results")],
    "45_language_findings": [*SERIES, *REPORTED, *STUDY],
    "46_language_ranks": [*SERIES, *STUDY],
    "50_audit": [str(path) for path in files("expected/adapters", "book/conformance")],
}
PROFILE = {"executed": config.get("profile", "default"), "smoke": "smoke"}
# Each batch of a sweep is one job. The name of its .done file depends on configurations, data and computing code. The file is
# removed here if a result is missing or cannot be read, so that the job runs again and computes that result.
BATCHES = {
    (into, sweep): results.batches(sweep, profile, Path("."))
    for into, profile in PROFILE.items()
    for sweep in sorted({name for names in READS.values() for name in names})
}
FOLDERS = {"_build/sweeps": PROFILE["executed"], "_build/smoke/sweeps": "smoke"}
DONE = {name: [str(b.done) for (into, _), found in BATCHES.items() if into == name for b in found] for name in PROFILE}
for faults in map(results.reopen, [batch for found in BATCHES.values() for batch in found]):
    for fault in faults:
        print(f"cannot be used: {fault}", file=sys.stderr)


# Commands write to standard output; standard error belongs to Snakemake.
shell.prefix("exec 2>&1; ")


wildcard_constraints:
    into="executed|smoke",
    stem="[^/]+",
    folder="|".join(FOLDERS),
    sweep="[^/]+",
    batch="[^/]+",


# Everything that a build leaves, so that deleted files are made again.
rule book:
    input:
        DONE["executed"],
        expand(EXECUTED, into="executed", stem=NOTEBOOKS),
        LISTS,
        "_build/site/.complete",


rule site:
    input:
        expand(EXECUTED, into="executed", stem=NOTEBOOKS),
        LISTS,
        PAGES,
    output:
        touch("_build/site/.complete"),
    params:
        code=EVERYTHING,
    shell:
        "{sys.executable} -m lorantk.publishing.site.build"


rule records:
    input:
        expand(EXECUTED, into="executed", stem=NOTEBOOKS),
    output:
        LISTS,
    params:
        code=EVERYTHING,
    shell:
        "{sys.executable} -m lorantk.publishing.graph.records _build"


rule smoke:
    input:
        DONE["smoke"],
        expand(EXECUTED, into="smoke", stem=NOTEBOOKS),


# The cells are not outputs: Snakemake would delete those of an interrupted job, but they should be kept.
rule sweep:
    output:
        "{folder}/{sweep}/{batch}.done",
    params:
        profile=lambda wildcards: FOLDERS[wildcards.folder],
        also=f" --copy {config['copy']}" if "copy" in config else "",
    threads: int(config.get("threads", 1))
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "{sys.executable} -m lorantk.experiments.common.sweep {wildcards.sweep} --batch {wildcards.batch}"
        " --profile {params.profile} --threads {threads}{params.also}"


rule sweeps:
    input:
        DONE["executed"],


# The study on the language model, with the book's model and sentences or with those of the configuration. What the kept table has
# is not computed again.
LANGUAGE = {name: str(config[name]) for name in ("model", "data", "task") if config.get(name)}
PLACE = kept.Place(**{name: Path(value) if name != "task" else value for name, value in LANGUAGE.items()})


rule language:
    input:
        lambda wildcards: [f"{PLACE.folder}/{name}.done" for name in study.unfinished(PLACE)],
    params:
        place="".join(f" --{name} '{value}'" for name, value in LANGUAGE.items()),
    shell:
        "{sys.executable} -m lorantk.experiments.language.study --collect{params.place}"


# Once, before any batch of another model or other data: what is wrong with them is said in one line.
rule language_check:
    output:
        touch(f"{PLACE.folder}/usable"),
    params:
        place=rules.language.params.place,
    shell:
        "{sys.executable} -m lorantk.experiments.language.study --check{params.place}"


rule language_batch:
    input:
        rules.language_check.output if LANGUAGE else [],
    output:
        f"{PLACE.folder}/{{batch}}.done",
    params:
        place=rules.language.params.place,
    threads: int(config.get("threads", 1))
    resources:
        mem_mb=4000,
        runtime=240,
    shell:
        "{sys.executable} -m lorantk.experiments.language.study --batch {wildcards.batch} --threads {threads}{params.place}"


rule execute:
    input:
        "notebooks/{stem}.ipynb",
        lambda wildcards: MADE.get(wildcards.stem, []),
        lambda wildcards: [str(b.done) for sweep in READS[wildcards.stem] for b in BATCHES[wildcards.into, sweep]],
    output:
        EXECUTED[0],
        directory(EXECUTED[1]),
        EXECUTED[2],
    params:
        code=lambda wildcards: CODE[wildcards.stem],
        profile=lambda wildcards: PROFILE[wildcards.into],
    threads: THREADS
    shell:
        "{sys.executable} -m lorantk.publishing.notebook.execute {input[0]} --into {wildcards.into}"
        " --threads {threads} -p profile={params.profile}"

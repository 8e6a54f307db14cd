# The build graph: sweeps -> notebooks -> executed notebooks and records -> claims and figures -> site.
# Every rule is one command that also runs by hand. `make book` starts it through lorantk.publishing.build.
import json
import sys
from pathlib import Path

from lorantk.experiments import results
from lorantk.fingerprint import content_hash, files, meaning

NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
# The sweeps that a notebook reads, from its metadata.
READS = {stem: json.loads(Path(f"notebooks/{stem}.ipynb").read_bytes())["metadata"].get("sweeps", []) for stem in NOTEBOOKS}
# Two notebooks on two cores shall not fight for them; one alone may have all. A given number shows what depends on it.
THREADS = int(config.get("threads", max(1, workflow.cores // max(1, len(NOTEBOOKS)))))
# Code that no notebook uses: editing it rebuilds the site, but runs no notebook again. Of the rest, a changed
# comment or docstring does not either.
AFTER = (
    "build", "citation", "compare", "finish", "locks", "parameters", "policy", "preview", "prose", "reading", "records",
    "reference", "release", "reproduce", "search", "site", "stage", "takeaway", "trust",
)
SITE_CODE = files(
    "lorantk/cli.py",
    "lorantk/publishing/schemas",
    "lorantk/publishing/sphinx_ext",
    *(f"lorantk/publishing/{name}.py" for name in AFTER),
)
CODE = content_hash([path for path in files("lorantk", "uv.lock") if path not in SITE_CODE], meaning)
EVERYTHING = content_hash(files("lorantk", "uv.lock"))
PAGES = [str(path) for path in files("book", "expected/figures", "_config.yml", "_toc.yml")]
EXECUTED = ["_build/{into}/{stem}.ipynb", "_build/{into}/records/{stem}", "_build/{into}/runs/{stem}.json"]
LISTS = ["_build/claims.json", "_build/figures/index.json", "_build/figures/durations.json"]
# What a chapter reads beside the package and the sweeps: made, or recorded, before it runs.
MADE = {"40_cost": [str(path) for path in files("benchmarks/results")], "50_audit": ["_build/adapters"]}
PROFILE = {"executed": config.get("profile", "default"), "smoke": "smoke"}
# Each batch of a sweep is one job. Its .done file has a name that depends on configurations, data and computing code; it is
# taken back here where a result is missing or cannot be read, so that the job runs again and computes what is wrong.
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


# What commands say goes to standard output; standard error is Snakemake's own.
shell.prefix("exec 2>&1; ")


wildcard_constraints:
    into="executed|smoke",
    stem="[^/]+",
    folder="|".join(FOLDERS),
    sweep="[^/]+",
    batch="[^/]+",


# All that a build leaves, so that what was deleted is made again.
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
        "{sys.executable} -m lorantk.publishing.site"


rule records:
    input:
        expand(EXECUTED, into="executed", stem=NOTEBOOKS),
    output:
        LISTS,
    params:
        code=EVERYTHING,
    shell:
        "{sys.executable} -m lorantk.publishing.records _build"


rule smoke:
    input:
        DONE["smoke"],
        expand(EXECUTED, into="smoke", stem=NOTEBOOKS),


rule adapters:
    input:
        "scripts/peft_adapters.py",
        "scripts/peft-requirements.txt",
    output:
        directory("_build/adapters"),
    shell:
        ".venv-peft/bin/python scripts/peft_adapters.py {output}"


# The cells are not outputs: Snakemake would delete those of an interrupted job, and they are kept.
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
        "{sys.executable} -m lorantk.experiments.sweep {wildcards.sweep} --batch {wildcards.batch}"
        " --profile {params.profile} --threads {threads}{params.also}"


rule sweeps:
    input:
        DONE["executed"],


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
        code=CODE,
        profile=lambda wildcards: PROFILE[wildcards.into],
    threads: THREADS
    shell:
        "{sys.executable} -m lorantk.publishing.execute {input[0]} --into {wildcards.into}"
        " --threads {threads} -p profile={params.profile}"

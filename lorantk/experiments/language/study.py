"""The study on the language model: its cells, in the order in which they run, and the command that runs what is missing.

``make language`` runs it batch by batch. By hand, without options, one process runs what is missing in order; ``--batch`` takes
one batch, and ``--collect`` puts finished runs into the kept table.
"""

import argparse
import os
import sys
import time
from itertools import product
from pathlib import Path

from lorantk.disk import in_words, write_whole
from lorantk.experiments.language import kept
from lorantk.experiments.language.cell import Cell, Run
from lorantk.experiments.language.packages import LanguageError
from lorantk.threads import limit_threads

RATES = {
    "one epoch": {"full": (1e-5, 3e-5, 1e-4, 3e-4), "lora": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
    "memorising": {"full": (1e-5, 3e-5, 1e-4), "lora": (3e-5, 1e-4, 3e-4, 1e-3)},
}
FROZEN = {"one epoch": (3e-4, 1e-3, 3e-3), "memorising": (1e-4, 3e-4, 1e-3)}  # rates of LoRA with A frozen
FEWER = {"one epoch": (1e-3, 3e-3), "memorising": (3e-4, 1e-3)}  # of the sweeps over ranks and variances
TUNED = {"full": (3e-5, 1e-4), "lora": FEWER["one epoch"]}  # of triggers and doses
SIZES = {"one epoch": {"rows": 1920, "steps": 60}, "memorising": {"rows": 256, "steps": 48}}
POISON = {"clean": 0.0, "flips": 0.3, "token": 0.02, "instruction": 0.02, "clean label": 0.25}
MAIN = ("clean", "flips", "token")
SEEDS = {"clean": 20, "flips": 10, "token": 20}
DOSES = (0.1, 0.2, 0.4)  # of flipped labels
RANKS = (1, 8, 64)
VARIANCES = (0.001, 10.0)  # besides 1/3, the arms' own


def _cell(regime, attack, arm, seeds, rates, **options):
    options = SIZES[regime] | {"poison": POISON[attack]} | options
    return Cell(regime=regime, attack=attack, arm=arm, rates=rates, seeds=seeds, **options)


def arms() -> list[Cell]:
    """Return full fine-tuning and LoRA in both regimes, then LoRA with A frozen."""
    both = product(SIZES, MAIN, ("full", "lora"))
    cells = [_cell(regime, attack, arm, SEEDS[attack], RATES[regime][arm]) for regime, attack, arm in both]
    return cells + [_cell(regime, attack, "lora-fa", 5, FROZEN[regime]) for regime, attack in product(SIZES, MAIN)]


def ranks() -> list[Cell]:
    """Return LoRA at several ranks, with s = 1 as in the paper's rank sweep."""
    return [_cell(*place, "lora", 10, FEWER[place[0]], rank=r, scale=1.0) for *place, r in product(SIZES, MAIN, RANKS)]


def variances() -> list[Cell]:
    """Return LoRA at several variances; those of 1/3 are among the arms."""
    return [_cell(*place, "lora", 10, FEWER[place[0]], variance=v) for *place, v in product(SIZES, MAIN, VARIANCES)]


def triggers() -> list[Cell]:
    """Return two more of the authors' backdoors, and the head as the authors have it."""
    pairs = product(("instruction", "clean label"), TUNED)
    more = [_cell("one epoch", attack, arm, 5, TUNED[arm]) for attack, arm in pairs]
    return more + [_cell("one epoch", attack, "lora", 5, TUNED["lora"], head="adapter") for attack in MAIN]


def doses() -> list[Cell]:
    """Return other shares of flipped labels."""
    return [_cell("one epoch", "flips", arm, 5, TUNED[arm], poison=dose) for arm, dose in product(TUNED, DOSES)]


SWEEPS = {"arms": arms, "ranks": ranks, "variances": variances, "triggers": triggers, "doses": doses}


def batches() -> dict[str, list[Run]]:
    """Return the runs in groups, one for each process: the seeds of a cell at one rate, five at a time."""
    found = {}
    for sweep, cells in SWEEPS.items():
        for k, cell in enumerate(cells()):
            for first, rate in product(range(0, cell.seeds, 5), cell.rates):
                seeds = range(first, min(first + 5, cell.seeds))
                found[f"{sweep}-{k:02d}-{rate:g}-{first:02d}"] = [cell.run(rate, seed) for seed in seeds]
    return found


def unfinished(place: kept.Place) -> list[str]:
    """Return the names of the batches that are not complete, in order."""
    return [name for name, runs in batches().items() if not all(map(place.has, runs))]


def usable(place: kept.Place, rows: int):
    """Return the model and the data of a place, once it is sure that runs of so many rows can be made of them.

    Raises
    ------
    LanguageError
        They cannot, or the place has runs of another model or other data.
    """
    from lorantk.experiments.language.training import material, split

    source = material(place.model, place.data, place.task)
    split(source.sentences, rows=rows, seed=0)
    place.claim()
    return source


def run(chosen: list[Run], place: kept.Place, label: str) -> int:
    """Compute the missing ones of some runs, and save each as soon as it is done; return the number computed."""
    todo = [one for one in chosen if not place.has(one)]
    if todo:
        from lorantk.experiments.language.training import train

        source = usable(place, max(one.rows for one in todo))
    for one in todo:
        start = time.monotonic()
        records = train(one, source)
        place.store(one, records, time.monotonic() - start)
        words = "diverged" if len(records) < len(one.checkpoints) else f"{time.monotonic() - start:.0f} s"
        print(f"{label}: {one.regime}, {one.attack}, {one.arm}, rate {one.rate:g}, seed {one.seed}: {words}", flush=True)
    return len(todo)


@in_words("lorantk.experiments.language.study")
def main(arguments=None):
    """Run the command line; return 0 on success, 1 if a run cannot be computed, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.experiments.language.study", description=__doc__.splitlines()[0])
    parser.add_argument("--batch", help="run only the batch of this name")
    parser.add_argument("--collect", action="store_true", help="run nothing; put finished runs into the kept table")
    parser.add_argument("--list", action="store_true", help="run nothing; name the batches that are not complete")
    parser.add_argument("--check", action="store_true", help="run nothing; say what is wrong with the model or the data")
    parser.add_argument("--threads", type=int, default=1, help="threads for linear algebra (default: 1)")
    parser.add_argument("--model", type=Path, help="folder of another BERT: config.json, model.safetensors, tokenizer.json")
    parser.add_argument("--data", type=Path, help="file of a GLUE task, such as SST-2/train.tsv")
    parser.add_argument("--task", default="SST-2", help="the GLUE task of the data: SST-2, CoLA, QNLI or QQP")
    options = parser.parse_args(arguments)
    every = batches()
    if options.batch is not None and options.batch not in every:
        parser.error(f"expected a batch such as {next(iter(every))}; got {options.batch!r}")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    limit_threads(options.threads)
    try:
        place = kept.Place(options.model, options.data, options.task)
        if options.list:
            print("\n".join(unfinished(place)))
        elif options.collect:
            print(f"{place.collect()} runs in {place.table}")
        elif options.check:
            usable(place, max(size["rows"] for size in SIZES.values()))
        else:
            for name, runs in every.items():
                if options.batch in (None, name):
                    run(runs, place, name)
                    write_whole(place.folder / f"{name}.done", "".join(f"{one.name}\n" for one in runs).encode())
    except LanguageError as error:
        print(f"lorantk.experiments.language.study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished runs are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The sweeps of the book: the cells of each one at each profile."""

from dataclasses import replace
from itertools import product

from lorantk.experiments.digits.cell import MODELS, Cell

RATES = {"adam": tuple(10 ** (-k / 2) for k in range(7, 1, -1)), "sgd": tuple(10 ** (-k / 2) for k in range(4, -2, -1))}
OPTIMISERS = tuple(RATES)
POISON = {"clean": {}, "flips": {"one epoch": 0.3, "memorising": 0.3}, "patch": {"one epoch": 0.005, "memorising": 0.02},
          "clean label": {"one epoch": 0.5, "memorising": 0.5}}  # fmt: skip
DOSES = {"flips": (0.1, 0.2, 0.4), "patch": (0.5, 2.0, 4.0)}  # of flipped labels, and relative to the usual rate of the patch
RANKS = (1, 2, 4, 8, 16, 32)
VARIANCES = (0.001, 0.01, 0.1, 1 / 3, 1.0, 2.0)
# Seeds; for each regime rows and steps; and how many cells one process takes.
SIZES = {
    "default": {"seeds": 20, "one epoch": (4096, 128), "memorising": (256, 256), "batch": 24},
    "smoke": {"seeds": 3, "one epoch": (512, 16), "memorising": (128, 24), "batch": 100},
    "paper": {"seeds": 40, "one epoch": (16384, 512), "memorising": (256, 512), "batch": 4},
    # The second series, whose outcomes are kept in the repository.
    "kept": {"seeds": 100, "one epoch": (4096, 128), "memorising": (256, 256), "batch": 24},
}
SLICE = 5  # seeds of a kept series that every build runs again
GRID_SEEDS = 6  # of the ranks and variances with A frozen
# A frozen: how far the ranks reach at c = 1, and the rates.
FROZEN_RANKS = (*RANKS, 64)
FROZEN_RATES = {"adam": tuple(10 ** (-k / 2) for k in (6, 5, 4)), "sgd": tuple(10 ** (-k / 2) for k in (3, 2, 1))}


def _cell(profile, regime, optimiser, attack, arm, **options):
    size = SIZES[profile]
    rows, steps = size[regime]
    if profile == "paper":
        options |= {"width": 256}
    if profile in ("paper", "kept"):
        options |= {"pretraining": "varied"}
    options.setdefault("poison", POISON[attack].get(regime, 0.0))
    return Cell(regime, optimiser, attack, arm, RATES[optimiser], size["seeds"], rows, steps, **options)


def _grid(profile, attacks=("clean", "flips", "patch"), optimisers=OPTIMISERS):
    return [(profile, *rest) for rest in product(("one epoch", "memorising"), optimisers, attacks)]


def _arms(profile):
    cells = [_cell(*place, arm) for place in _grid(profile) for arm in ("full", "lora", "lora-fa")]
    return cells + [_cell(*place, arm) for place in _grid(profile, ("clean label",), ("adam",)) for arm in ("full", "lora")]


def _doses(profile):
    usual = [_cell(*place, arm) for place in _grid(profile, tuple(DOSES), ("adam",)) for arm in ("full", "lora")]
    return [
        replace(cell, poison=dose if cell.attack == "flips" else dose * cell.poison)
        for cell in usual
        for dose in (DOSES[cell.attack] if profile != "smoke" else DOSES[cell.attack][-1:])
    ]


def _ranks(profile):
    ranks = RANKS if profile != "smoke" else (1, 4, 8)
    return [_cell(*place, "lora", rank=r, scale=1.0) for place in _grid(profile) for r in ranks]


def _variances(profile):
    values = VARIANCES if profile != "smoke" else (0.01, 1 / 3, 2.0)
    return [_cell(*place, "lora", variance=v) for place in _grid(profile) for v in values]


def _interventions(profile):
    kinds = (("lora", "scale"), ("lora", "rate"), ("full", "slowed"))
    return [_cell(*place, arm, match=match) for place in _grid(profile, optimisers=("sgd",)) for arm, match in kinds]


def _series(profile):
    full = [_cell(*place, "full") for place in _grid("kept")]
    every = [*full, *_ranks("kept"), *_variances("kept")]  # LoRA as in the arms is one of the variances
    if profile == "kept":
        return every
    few = [cell for cell in every if (cell.regime, cell.optimiser) == ("memorising", "adam")]
    return [replace(cell, seeds=SLICE) for cell in few]


def _frozen_grid(profile):
    """The ranks and variances with A frozen, and full fine-tuning slowed to the same speeds; both also linearised."""
    usual = [replace(cell, seeds=GRID_SEEDS) for cell in (*_ranks("default"), *_variances("default"))]
    frozen = [replace(cell, arm="lora-fa") for cell in usual]
    slowed = [replace(cell, arm="full", match="slowed") for cell in usual if cell.optimiser == "sgd"]
    every = [replace(cell, model=model) for model in MODELS for cell in (*frozen, *slowed)]
    if profile == "kept":
        return every
    return [c for c in every if (c.regime, c.optimiser, c.rank, c.scale) == ("memorising", "sgd", 8, 1.0)]


def _at_equal_fit(place):
    """Arms at the usual rank and scale, to compare where they have fitted flipped labels equally; Adam has no matched rate."""
    _, _, optimiser, _ = place
    full, frozen, trained = (_cell(*place, arm) for arm in ("full", "lora-fa", "lora"))
    slowed = [replace(full, match="slowed")] if optimiser == "sgd" else []
    return [full, *slowed, frozen, trained, *(replace(cell, model="linearised") for cell in (full, *slowed, frozen))]


def _trade_off(profile):
    """Full fine-tuning, and LoRA at c = 1 with A frozen and trained; arms at the usual scale, to compare at equal fit."""
    every = []
    for place in _grid("kept", optimisers=("sgd",)):
        at_c_1 = {"match": "scale", "scale": 1.0}
        full = _cell(*place, "full")
        frozen, trained = ([_cell(*place, arm, rank=r, **at_c_1) for r in FROZEN_RANKS] for arm in ("lora-fa", "lora"))
        every += [full, *frozen, *trained, *(replace(cell, model="linearised") for cell in (full, *frozen))]
    for place in product(("kept",), ("memorising",), OPTIMISERS, ("clean", "flips")):
        every += [cell for cell in _at_equal_fit(place) if cell not in every]
    every = [replace(cell, rates=FROZEN_RATES[cell.optimiser]) for cell in every]
    if profile == "kept":
        return every
    return [replace(c, seeds=SLICE) for c in every if c.regime == "memorising" and c.rank == 8]


SWEEPS = {
    "arms": _arms,
    "doses": _doses,
    "ranks": _ranks,
    "variances": _variances,
    "interventions": _interventions,
    "series": _series,
    "frozen-grid": _frozen_grid,
    "trade-off": _trade_off,
}


def cells(name: str, profile: str) -> list[Cell]:
    """Return the cells of a sweep.

    Raises
    ------
    ValueError
        No such sweep or profile.
    """
    for word, value, known in (("sweep", name, SWEEPS), ("profile", profile, SIZES)):
        if value not in known:
            msg = f"expected a {word} out of {', '.join(known)}; got {value!r}"
            raise ValueError(msg)
    return SWEEPS[name](profile)


def batches(name: str, profile: str) -> list[list[Cell]]:
    """Return the cells in groups, one for each process; cells that share a compiled program are next to each other."""
    ordered = sorted(cells(name, profile), key=lambda cell: repr(cell.program))
    size = SIZES[profile]["batch"]
    return [ordered[k : k + size] for k in range(0, len(ordered), size)]

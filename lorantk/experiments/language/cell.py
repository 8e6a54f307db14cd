"""Configurations of the study on the language model, and their runs: one learning rate, one seed.

Nothing here needs JAX, so a list of runs is quick to make.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from lorantk.choices import one_of

REGIMES = ("one epoch", "memorising")
ATTACKS = ("clean", "flips", "token", "instruction", "clean label")
ARMS = ("full", "lora", "lora-fa")
HEADS = ("full", "adapter")
CLASSES = 2
TARGET = 1
BATCH = 32
LONGEST = 24  # tokens of a sentence, without a trigger
HELD = {"test": 1000, "validation": 200}
PROBE = 128  # training rows on which the training loss is measured


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What the runs of a cell have in common.

    Attributes
    ----------
    regime
        ``"one epoch"``: each of ``rows`` sentences is seen once. ``"memorising"``: several epochs over ``rows`` sentences.
    attack, poison
        One of `ATTACKS`, and its rate; for ``"clean label"``, of the rows of the target class.
    arm
        ``"full"`` trains every parameter; ``"lora"`` trains adapters on every linear map of the encoder and the pooler;
        ``"lora-fa"`` the same with A frozen.
    rows, steps
        Training sentences, and steps of 32 of them.
    rank, scale, variance
        ``r``, ``s`` and ``n σ_a²`` of the adapters (PEFT's default is 1/3).
    head
        ``"full"``: a fresh classifier trains in full in every arm. ``"adapter"``: it is frozen and gets an adapter, as the
        paper's authors have it under LoRA.
    """

    regime: str
    attack: str
    arm: str
    rows: int
    steps: int
    poison: float = 0.0
    rank: int = 8
    scale: float = 2.0
    variance: float = 1 / 3
    head: str = "full"

    def __post_init__(self):
        """Check the options against the known ones."""
        known = {"regime": REGIMES, "attack": ATTACKS, "arm": ARMS, "head": HEADS}
        for name, values in known.items():
            one_of(name, getattr(self, name), values)
        if (self.attack == "clean") != (self.poison == 0):
            msg = f"a clean run has poison rate 0 and any other a rate above 0; got {self.attack!r} with {self.poison}"
            raise ValueError(msg)
        if self.head == "adapter" and self.arm == "full":
            msg = "full fine-tuning trains its head in full; got a head with an adapter"
            raise ValueError(msg)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Numbers of steps after which a run is measured: thirds of the training."""
        return tuple(round(k * self.steps / 3) for k in (1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class Run(Configuration):
    """One training run: ``rate`` is the learning rate; ``seed`` fixes rows, poison, start and batches."""

    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's result."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class Cell(Configuration):
    """A configuration at every learning rate ``rates`` and with the seeds ``0 … seeds - 1``."""

    rates: tuple[float, ...]
    seeds: int
    optimiser: ClassVar[str] = "adam"
    classes: ClassVar[int] = CLASSES
    backdoor: ClassVar[str] = "token"

    def run(self, rate: float, seed: int) -> Run:
        """Return one run of the cell."""
        shared = {f.name: getattr(self, f.name) for f in fields(Configuration)}
        return Run(**shared, rate=rate, seed=seed)

    @property
    def runs(self) -> list[Run]:
        """Every run, seed by seed."""
        return [self.run(rate, seed) for seed in range(self.seeds) for rate in self.rates]

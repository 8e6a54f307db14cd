"""A cell of a sweep: one configuration, trained at every learning rate of a grid and with every seed.

Nothing here needs JAX, so a list of cells is quick to make.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

from lorantk.choices import one_of

REGIMES = ("one epoch", "memorising")
ATTACKS = ("clean", "flips", "patch", "clean label")
ARMS = ("full", "lora", "lora-fa")
MATCHES = ("", "scale", "rate", "slowed")
MODELS = ("network", "linearised")
CLASSES = 5
PER_CLASS = {"validation": 30, "test": 60}
TARGET = 0
BATCH = 32
PROBE = 256
# Ranks up to each of these share one compiled program.
PADDED_RANKS = (8, 32)


@dataclass(frozen=True)
class Cell:
    """One configuration.

    Attributes
    ----------
    regime
        ``"one epoch"``: each of ``rows`` variants of the training images is seen once. ``"memorising"``: many epochs over
        ``rows`` images as they are.
    optimiser
        ``"sgd"`` or ``"adam"``.
    attack, poison
        One of `ATTACKS`, and its rate; for ``"clean label"``, a fraction of the target class.
    arm
        One of `ARMS`.
    rank, scale, variance
        ``r``, ``s`` and ``n σ_a²`` (PEFT's default is 1/3). For full fine-tuning, those of the LoRA to whose speed it is slowed.
    match
        ``"scale"``: s is replaced, layer by layer, by the value with ``c = s² r σ_a² = 1``. ``"rate"``: the rates of both factors
        are divided by c. ``"slowed"``: full fine-tuning's hidden layers train at c times the rate. ``""``: none of these.
    rates, seeds
        Learning rates, and the number of seeds.
    rows, steps, width
        Training rows, steps of 32 rows, and width of the two hidden layers.
    pretraining
        ``"shared"``: every seed starts from one pretrained network; ``"varied"``: each from its own.
    model
        ``"network"``, or ``"linearised"`` to train its first order about the start.
    """

    regime: str
    optimiser: str
    attack: str
    arm: str
    rates: tuple[float, ...]
    seeds: int
    rows: int
    steps: int
    poison: float = 0.0
    rank: int = 8
    scale: float = 2.0
    variance: float = 1 / 3
    match: str = ""
    width: int = 64
    pretraining: str = "shared"
    model: str = "network"
    classes: ClassVar[int] = CLASSES
    backdoor: ClassVar[str] = "patch"

    def __post_init__(self):
        """Check the options against the known ones."""
        options = {"regime": REGIMES, "attack": ATTACKS, "arm": ARMS, "match": MATCHES, "model": MODELS}
        for name, known in options.items():
            one_of(name, getattr(self, name), known)
        if self.rank > min(self.width, 64):
            msg = f"rank must be at most {min(self.width, 64)}, the smallest number of inputs; got {self.rank}"
            raise ValueError(msg)
        if self.attack == "clean" and self.poison:
            msg = f"a clean cell must have poison rate 0; got {self.poison}"
            raise ValueError(msg)

    @property
    def features(self) -> tuple[int, int]:
        """Inputs of the two hidden layers."""
        return 64, self.width

    @property
    def speeds(self) -> tuple[float, ...]:
        """``c = s² r σ_a²`` of each hidden layer: the mean of LoRA's kernel over that of full fine-tuning."""
        return tuple(self.scale**2 * self.rank * self.variance / n for n in self.features)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Numbers of steps after which runs are measured: 0, then roughly geometric, then the last."""
        grid = [0, *(round(2 ** (k / 2)) for k in range(2, 40))]
        return (*sorted({t for t in grid if t < 0.9 * self.steps}), self.steps)

    @property
    def program(self) -> tuple:
        """The values that determine the compiled program."""
        arm = (self.arm, padded_rank(self.rank) if self.arm != "full" else 0)
        return (*arm, self.model, self.optimiser, self.rows, self.steps, self.width, self.seeds, len(self.rates))

    def config(self) -> dict:
        """The whole configuration, as it is stored in JSON."""
        return asdict(self) | {"rates": list(self.rates)}


def padded_rank(rank: int) -> int:
    """Return the rank of the arrays that hold an adapter of this rank."""
    return next((R for R in PADDED_RANKS if rank <= R), rank)

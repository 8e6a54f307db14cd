"""What an audit returns: plain data, with the same content as named tuples, as JSON and as a page."""

from typing import NamedTuple

SCHEMA = "1.1"  # of the JSON, see schema.json; the first number changes when something is renamed or removed


class Condition(NamedTuple):
    """The condition at the start, as the configuration gives it.

    Attributes
    ----------
    value
        The expected ``s²(‖A‖² + ‖B‖²)``: ``s²σ_a²n(1 + √(r/n))²`` for a random A with B = 0, ``s²`` for orthonormal rows; None
        if the start comes from W₀ or from data.
    holds
        Whether the value is below 1 (at most 1 if it is exact).
    margin
        ``1 - value``.
    probability
        Probability that the order holds at this finite size, by the Tracy-Widom law, for independent entries and B = 0;
        otherwise None.
    """

    value: float | None
    holds: bool | None
    margin: float | None
    probability: float | None


class Mean(NamedTuple):
    """Order in the mean over A at the start: the expected kernel fraction ``c = s²rσ_a²``, c ≤ 1, and its spread.

    The spread, relative to c, is at most ``√(2/r)`` for any gradients, as every law of PEFT has an excess kurtosis κ ≤ 0; what it
    is depends on the data (`lorantk.theory.scatter`).
    """

    fraction: float
    holds: bool
    spread: float


class Gram(NamedTuple):
    """Order on data whose features span d dimensions, at the start, for Gaussian A.

    Attributes
    ----------
    capacity, safe_capacity
        The largest d for which the order holds: as the sizes grow, and with probability at least 1 - δ in all modules at once.
    dimension, value, holds
        The requested d, ``s²σ_a²(√d + √r)²`` for it, and whether that is at most 1; None if no d was requested.
    """

    capacity: float
    safe_capacity: float
    dimension: float | None = None
    value: float | None = None
    holds: bool | None = None


class Measured(NamedTuple):
    """What was measured on the saved factors.

    Attributes
    ----------
    fresh
        Whether a factor is still exactly zero, as at the start.
    variance, q
        Mean square of the entries of the random factor, and ``s²·variance·n``.
    top_A, top_B
        ``s²‖A‖²`` and ``s²‖B‖²``.
    value, holds
        ``κ = s²(‖A‖² + ‖B‖²)`` of the stored numbers, and whether it is at most 1, up to the rounding of this computation in
        float64: the order for all data.
    balanced
        ``2s²‖BA‖``: the least κ over all factors of the same update; κ itself if B is frozen, so that A alone can change.
    least, edge, distance
        Smallest and largest of the r eigenvalues of ``s²AᵀA - I`` other than -1 (for a random B: ``s²BBᵀ - I``), and their
        largest distance from the Marchenko-Pastur law; None if the start has no such law or the factors are no longer fresh.
    norm, stable_rank
        Spectral norm of the update ``sBA``, and ``‖·‖_F²/‖·‖²``, its effective dimension.
    dtype
        Type in which the factors are stored, both of them if they differ.
    rows
        Share of the rows of B that are not zero.
    eigenvalues
        The r eigenvalues behind `least` and `edge`, ascending; left out of the JSON.
    """

    fresh: bool
    variance: float
    q: float
    top_A: float
    top_B: float
    value: float
    holds: bool
    balanced: float
    least: float
    edge: float
    distance: float | None
    norm: float
    stable_rank: float
    dtype: str
    rows: float
    eigenvalues: tuple[float, ...]


class Remedy(NamedTuple):
    """The nearest values that meet the condition, changed one at a time; None if there is none or none is needed.

    Attributes
    ----------
    alpha, rank, rank_at_scale, variance
        Largest α; smallest rank at the same α; largest rank at the same scale s; largest variance of A's entries.
    least
        Name of the quantity that changes by the smallest factor.
    orthonormal
        Factor for orthonormal rows of A with which the order holds exactly at the start: ``min(1, 1/s)``.
    after_training
        ``"balance"``: balanced factors of the same update are in order. ``"scale"``: they are if α is also lowered to `alpha`.
        Neither changes the model. None if the saved factors are in order, or at the start, or if B is frozen.
    shrink
        Largest α at which the saved factors, left as they are, are in order; the update shrinks with it, so the model changes.
    """

    alpha: float | None = None
    rank: int | None = None
    rank_at_scale: int | None = None
    variance: float | None = None
    least: str | None = None
    orthonormal: float | None = None
    after_training: str | None = None
    shrink: float | None = None


class Scales(NamedTuple):
    """The scale s that each runtime gives to the module, by `lorantk.auditing.runtimes`; None where it does not load the file."""

    peft: float | None = None
    diffusers: float | None = None
    llama_cpp: float | None = None
    mlx: float | None = None
    vllm: float | None = None


class Module(NamedTuple):
    """One adapted module. ``order`` is the answer: True, False, or None if the theorems do not decide; `by` says what decided."""

    name: str
    kind: str
    rank: int
    features_in: int
    features_out: int | None
    width: int
    ratio: float
    alpha: float
    scale: float
    init: str
    variance: float | None
    q: float | None
    condition: Condition
    mean: Mean | None
    gram: Gram | None
    measured: Measured | None
    order: bool | None
    by: str
    remedy: Remedy
    notes: tuple[str, ...] = ()
    scales: Scales | None = None


class Finding(NamedTuple):
    """Something about the files that the numbers do not show.

    Attributes
    ----------
    id
        A stable name, such as ``"alpha-not-declared"``.
    level
        ``"note"`` for what is worth knowing, ``"warning"`` for what is probably not meant.
    text, advice
        What was found, and what to do.
    names
        The modules, tensors or options that it is about, at most `NAMED` of them; the text has their number.
    """

    id: str
    level: str
    text: str
    advice: str
    names: tuple[str, ...] = ()


NAMED = 20


class Refused(NamedTuple):
    """A module that cannot be audited, and why; the others are."""

    name: str
    reason: str


class Overall(NamedTuple):
    """All modules together.

    How many are in order, not in order, undecided and refused; worst value; parameters; names of outliers.
    """

    modules: int
    in_order: int
    not_in_order: int
    undecided: int
    refused: int
    order: bool | None
    worst: str | None
    worst_value: float | None
    parameters: int | None
    outliers: tuple[str, ...]


class Report(NamedTuple):
    """An audit; `to_dict` gives what ``lorantk audit --json`` prints.

    `balances` says whether ``lorantk balance`` can write a copy of the adapter with balanced factors.
    """

    source: str
    form: str
    format: str | None
    modules: tuple[Module, ...]
    refused: tuple[Refused, ...]
    overall: Overall
    consistency: tuple[Finding, ...]
    notes: tuple[str, ...]
    robustness: str
    balances: bool = False

    def to_dict(self) -> dict:
        """Return the report as a JSON object; `schema.json` beside this module describes it."""
        return {"schema": SCHEMA} | _plain(self)


def _plain(value):
    """Turn named tuples into dicts and tuples into lists; leave out the eigenvalues, of which there are many."""
    if hasattr(value, "_asdict"):
        return {key: _plain(entry) for key, entry in value._asdict().items() if key != "eigenvalues"}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value

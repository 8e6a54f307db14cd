"""What an audit returns: plain data, the same as named tuples, as JSON and as a page."""

from typing import NamedTuple


class Condition(NamedTuple):
    """The condition at the start, as the configuration gives it.

    Attributes
    ----------
    value
        What ``s²(‖A‖² + ‖B‖²)`` is expected to be: ``s²σ_a²n(1 + √(r/n))²`` for a random A beside B = 0, ``s²`` for orthonormal
        rows; None where the start comes from W₀ or from data.
    holds
        Whether the value is below 1 (at most 1 where it is exact).
    margin
        ``1 - value``.
    probability
        That the order holds at this finite size, by the Tracy-Widom law, for independent entries and B = 0; else None.
    """

    value: float | None
    holds: bool | None
    margin: float | None
    probability: float | None


class Mean(NamedTuple):
    """Order in the mean over A at the start: the expected kernel fraction ``c = s²rσ_a²``, c ≤ 1, and its spread ``√(2/r)``."""

    fraction: float
    holds: bool
    spread: float


class Gram(NamedTuple):
    """Order on data whose features span d dimensions, at the start, for Gaussian A.

    Attributes
    ----------
    capacity, safe_capacity
        The largest d with the order, as the sizes grow; and with probability at least 1 - δ in all modules at once.
    dimension, value, holds
        The d that was asked for, ``s²σ_a²(√d + √r)²`` there, and whether it is at most 1; None where none was asked for.
    """

    capacity: float
    safe_capacity: float
    dimension: float | None = None
    value: float | None = None
    holds: bool | None = None


class Measured(NamedTuple):
    """What the saved factors are.

    Attributes
    ----------
    fresh
        Whether a factor is still exactly zero, as at the start.
    variance, q
        Mean square of the entries of the drawn factor, and ``s²·variance·n``.
    top_A, top_B
        ``s²‖A‖²`` and ``s²‖B‖²``.
    value, holds
        ``κ = s²(‖A‖² + ‖B‖²)``, and whether it is at most 1 up to the rounding of the stored type: the order for all data.
    balanced
        ``2s²‖BA‖``: the least κ over all factors of the same update.
    least, edge, distance
        Smallest and largest of the r eigenvalues of ``s²AᵀA - I`` beside its -1 (for a drawn B: ``s²BBᵀ - I``), and their largest
        distance from the Marchenko-Pastur law; None where the start has no such law, or training has left it.
    norm, stable_rank
        Of the update ``sBA``: spectral norm, and ``‖·‖_F²/‖·‖²``, its effective dimension.
    dtype
        Type in which the factors are stored.
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
    eigenvalues: tuple[float, ...]


class Remedy(NamedTuple):
    """The nearest values that meet the condition, each changed alone; None where none does or none is needed.

    Attributes
    ----------
    alpha, rank, rank_at_scale, variance
        Largest α; smallest rank at the same α; largest rank at the same scale s; largest variance of A's entries.
    least
        The name of the one that changes by the smallest factor.
    orthonormal
        Factor for orthonormal rows of A with which the order holds exactly at the start: ``min(1, 1/s)``.
    after_training
        ``"balance"``: other factors of the same update are in order. ``"scale"``: they are with balanced factors and the α named
        by `alpha`. None where the saved factors are in order, or at the start.
    """

    alpha: float | None = None
    rank: int | None = None
    rank_at_scale: int | None = None
    variance: float | None = None
    least: str | None = None
    orthonormal: float | None = None
    after_training: str | None = None


class Module(NamedTuple):
    """One adapted module. ``order`` is the answer: True, False, or None where the theorems do not decide; `by` says by what."""

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


class Overall(NamedTuple):
    """All modules together: how many are in order, not, undecided; the worst value; parameters; the names of outliers."""

    modules: int
    in_order: int
    not_in_order: int
    undecided: int
    order: bool | None
    worst: str | None
    worst_value: float | None
    parameters: int | None
    outliers: tuple[str, ...]


class Report(NamedTuple):
    """An audit. In a notebook it shows itself; `to_dict` gives what ``lorantk audit --json`` prints."""

    source: str
    form: str
    modules: tuple[Module, ...]
    overall: Overall
    notes: tuple[str, ...]
    robustness: str

    def to_dict(self) -> dict:
        """The report as a JSON object."""
        return _plain(self)

    def _repr_html_(self):
        """The report as a notebook shows it."""
        from lorantk.auditing.html import fragment

        return fragment(self)

    def __repr__(self):
        """The table of the command line, without colours: what a prompt shows."""
        from lorantk.auditing.terminal import render

        return render(self)


def _plain(value):
    """Named tuples as dicts, tuples as lists; eigenvalues, which are many, are left out."""
    if hasattr(value, "_asdict"):
        return {key: _plain(entry) for key, entry in value._asdict().items() if key != "eigenvalues"}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value

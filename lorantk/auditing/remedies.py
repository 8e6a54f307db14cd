"""Find the nearest rank, α or variance that meets the condition, changing one at a time."""

import math
from bisect import bisect_left

from lorantk.auditing.configuration import Settings, scale_of
from lorantk.auditing.report import Measured, Remedy
from lorantk.auditing.starts import Start, expected_top, start
from lorantk.theory.conditions import sharp_ratio

BELOW = 1 - 1e-9  # a suggested value must meet the condition, not lie on its boundary


def _least(settings: Settings, variance: float, remedy: Remedy) -> str | None:
    """Return the name of the remedy that changes its quantity by the smallest factor."""
    now = {"alpha": settings.alpha, "rank": settings.rank, "rank_at_scale": settings.rank, "variance": variance}
    factors = {key: abs(math.log(getattr(remedy, key) / old)) for key, old in now.items() if getattr(remedy, key) is not None}
    return min(factors, key=factors.get, default=None)


def at_start(
    settings: Settings, features: int, init: str, begin: Start, value: float, *, rslora: bool, variance: float | None
) -> Remedy:
    """Return what would meet the condition at the start, given that `value` does not.

    Parameters
    ----------
    settings, features, init, begin
        The module's rank and scale, its inputs n, its `init_lora_weights` as a word, and how it starts.
    value
        `lorantk.auditing.report.Condition.value`.
    rslora, variance
        As in `lorantk.auditing.judge.judge`.

    Returns
    -------
    Remedy
        α always; ranks, variance and orthonormal rows if A is random and B = 0.
    """
    rank, size = settings.rank, abs(settings.scale)
    shrink = min(BELOW / value, 1.0)
    if begin.A.law == "zero" or begin.B.law != "zero" or begin.A.law != "iid":
        alpha = settings.alpha * math.sqrt(shrink)
        return Remedy(alpha=alpha, least="alpha", orthonormal=1 / size if begin.A.law == "orthonormal" else None)

    def value_at(other: int, scale: float) -> float:
        return scale**2 * expected_top(start(init, other, features, variance=variance).A, other, features)

    higher = range(rank + 1, features + 1)
    place = bisect_left(higher, True, key=lambda other: value_at(other, scale_of(settings.alpha, other, rslora)) < BELOW)
    lower = math.floor(features * sharp_ratio(settings.scale**2 * begin.A.variance * features) * BELOW)
    lower = lower if 1 <= lower < rank and value_at(lower, settings.scale) < 1 else None
    remedy = Remedy(
        alpha=settings.alpha * math.sqrt(shrink),
        rank=higher[place] if place < len(higher) else None,
        rank_at_scale=lower,
        variance=begin.A.variance * shrink,
        orthonormal=min(1.0, 1 / size),
    )
    return remedy._replace(least=_least(settings, begin.A.variance, remedy))


def after_training(found: Measured, settings: Settings, begin: Start) -> Remedy:
    """Return what would bring saved factors into order, or nothing if they already are.

    All factors of the same update ``ΔW = sBA`` have ``κ ≥ 2s‖ΔW‖``, with equality if they are balanced. If this bound exceeds 1,
    a smaller scale helps, at most ``s' = 1/(2‖ΔW‖)``, with factors that keep ``ΔW``. If B is frozen, only a smaller α does.
    """
    if found.holds:
        return Remedy()
    shrink = settings.alpha * math.sqrt(BELOW / found.value)
    if not begin.trains_B:
        return Remedy(least="alpha", shrink=shrink)
    if found.balanced <= BELOW:
        return Remedy(after_training="balance", shrink=shrink)
    return Remedy(alpha=settings.alpha * BELOW / found.balanced, least="alpha", after_training="scale", shrink=shrink)

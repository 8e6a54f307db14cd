"""Check one adapted module against the theorems, at the start as configured and with its factors as saved."""

import math
from functools import lru_cache
from typing import NamedTuple

from lorantk.auditing.configuration import VARIANTS, Settings
from lorantk.auditing.measures import Measures, law_distance, stable_rank
from lorantk.auditing.remedies import after_training, at_start
from lorantk.auditing.report import Condition, Gram, Mean, Measured, Module, Remedy
from lorantk.auditing.starts import ORTHONORMAL, Start, expected_top
from lorantk.theory.conditions import excess, nsd_probability, restricted_capacity, restricted_value

# How much computing in a stored type and rounding to it can change κ, relatively. The stored numbers are the adapter, so this
# decides no order: it says what is noise in B A = 0, in a variance, and in a κ that was 1 before it was stored.
ROUNDING = {"F64": 1e-14, "F32": 2e-6, "F16": 2e-3, "BF16": 1.6e-2, "F8_E4M3": 0.25, "F8_E5M2": 0.5, "Q8_0": 1e-2}
EPSILON = 2.0**-52
FRESH = 6.0  # standard errors of a sample variance beyond which A is not a fresh draw: 2e-9 by chance

ONE_SIDED = {VARIANTS["use_bdlora"]}  # additions with which κ ≤ 1 is enough for the order, but not necessary

ANSWERS = 4096  # kept, as thousands of modules ask for few different ones and can share them


class Sizes(NamedTuple):
    """Inputs n and outputs m (or None) of a module."""

    features_in: int
    features_out: int | None


class Shape(NamedTuple):
    """A module of the model: name, kind, inputs n, outputs m (or None)."""

    name: str
    kind: str
    features_in: int
    features_out: int | None

    @property
    def sizes(self) -> Sizes:
        """Inputs and outputs."""
        return Sizes(self.features_in, self.features_out)


class Question(NamedTuple):
    """What else the user asks about: the features' dimension d, the failure probability δ, and the number of modules."""

    dimension: float | None = None
    failure: float = 0.01
    layers: int = 1


def drawn(sizes: Sizes, start: Start) -> tuple[str, int]:
    """Return which factor is not zero at the start, and the theorems' n: the inputs for ``"A"``, the outputs for ``"B"``."""
    if start.A.law == "zero":
        return "B", sizes.features_out or sizes.features_in
    return "A", sizes.features_in


@lru_cache(maxsize=ANSWERS)
def condition(settings: Settings, sizes: Sizes, start: Start) -> Condition:
    """Return the condition at the start; see `lorantk.auditing.report.Condition`."""
    tops = [expected_top(start.B, settings.rank, sizes.features_out or 1)]
    if start.trains_B:
        tops.append(expected_top(start.A, settings.rank, sizes.features_in))
    if None in tops:
        return Condition(None, None, None, None)
    if settings.scale == 0:
        return Condition(0.0, True, 1.0, 1.0)
    value = settings.scale**2 * sum(tops)
    random = [factor for factor in (start.A, start.B) if factor.law == "iid"]
    if not random:
        return Condition(value, value <= 1, 1 - value, float(value <= 1))
    probability = None
    if len(random) == 1 and random[0].rank is None:
        width = drawn(sizes, start)[1]
        probability = nsd_probability(settings.scale**2 * random[0].variance * width, settings.rank, width)
    return Condition(value, value < 1, 1 - value, probability)


@lru_cache(maxsize=ANSWERS)
def weaker(settings: Settings, start: Start, question: Question) -> tuple[Mean | None, Gram | None]:
    """Return the order in the mean, if one factor is random and the other zero, and the order on given data, for a random A."""
    laws = {start.A.law, start.B.law}
    factor = start.B if start.A.law == "zero" else start.A
    if laws != {"iid", "zero"} or factor.rank is not None or settings.scale == 0:
        return None, None
    per_row = settings.scale**2 * factor.variance
    fraction = settings.rank * per_row
    mean = Mean(fraction, fraction <= 1, math.sqrt(2 / settings.rank))
    if start.A.law == "zero":
        return mean, None
    capacities = [restricted_capacity(per_row, settings.rank, t) for t in (0.0, excess(question.layers, question.failure))]
    if question.dimension is None:
        return mean, Gram(*capacities)
    value = restricted_value(per_row, settings.rank, question.dimension)
    return mean, Gram(*capacities, question.dimension, value, value <= 1)


def measured(measures: Measures, dtypes: tuple[str, str], settings: Settings, shape: Shape, start: Start) -> Measured:
    """Return what was measured on the saved factors; see `lorantk.auditing.report.Measured`."""
    factor, width = drawn(shape.sizes, start)
    squares, variance = (measures.alphas, measures.variance_A) if factor == "A" else (measures.betas, measures.variance_B)
    s2, fresh = settings.scale**2, min(measures.alphas[-1], measures.betas[-1]) == 0
    top_A, top_B = (float(s2 * tops[-1]) for tops in (measures.alphas, measures.betas))
    value = top_B + (top_A if start.trains_B else 0.0)
    singular, stored = measures.singular, max(dtypes, key=ROUNDING.get)
    if singular[-1] <= ROUNDING[stored] * math.sqrt(measures.alphas[-1] * measures.betas[-1]):
        singular = 0 * singular  # B A = 0 up to rounding, as for PEFT's "orthogonal"
    norm = abs(settings.scale) * float(singular[-1])
    law = fresh and (start.A if factor == "A" else start.B).law == "iid" and len(squares) <= width and variance > 0
    r = min(len(squares), width)
    computing = EPSILON * (shape.features_in + shape.features_out + settings.rank)
    return Measured(
        fresh=bool(fresh),
        variance=variance,
        q=s2 * variance * width,
        top_A=top_A,
        top_B=top_B,
        value=value,
        holds=value <= 1 + computing,
        balanced=2 * abs(settings.scale) * norm if start.trains_B else value,
        least=float(s2 * squares[-r] - 1),
        edge=float(s2 * squares[-1] - 1),
        distance=law_distance(squares, variance, width) if law else None,
        norm=norm,
        stable_rank=stable_rank(singular),
        dtype=dtypes[0] if dtypes[0] == dtypes[1] else "/".join(dtypes),
        rows=measures.rows_B,
        eigenvalues=tuple((s2 * squares[-r:] - 1).tolist()),
    )


def _rounding(found: Measured, rounding: float) -> tuple[str, ...]:
    """Return a note if κ exceeds 1 by no more than storing the factors can have added."""
    if found.holds or found.value > 1 + rounding:
        return ()
    excess = f"{found.value - 1:.2g}"
    return (f"κ exceeds 1 by {excess}, no more than rounding to {found.dtype} does: it may have been 1 before it was stored",)


def _freshness(found: Measured, rounding: float, settings: Settings, start: Start, width: int, init: str) -> tuple[str, ...]:
    """Return a note if the random factor was not drawn from the configured law."""
    factor = start.B if start.A.law == "zero" else start.A
    if not found.fresh or factor.law != "iid" or factor.rank is not None:
        return ()
    deviation = found.variance / factor.variance - 1
    gaussian = init == "gaussian" or start.A.law == "zero"
    # The variance of a sample variance is (2 + κ)/N times the squared variance: κ = -6/5 for uniform entries.
    error = math.sqrt((2.0 if gaussian else 0.8) / (settings.rank * width)) + rounding
    if abs(deviation) <= FRESH * error:
        return ()
    return (f"{1 + deviation:.3g} times the configured variance: not a fresh draw of the configured start",)


def judge(
    shape: Shape,
    settings: Settings,
    init: str,
    start: Start,
    *,
    rslora: bool,
    question: Question,
    variants: tuple[str, ...] = (),
    bias: bool = False,
    variance: float | None = None,
    measures: Measures | None = None,
    dtypes: tuple[str, str] = ("F32", "F32"),
) -> Module:
    """Return one module of the report.

    Parameters
    ----------
    shape, settings, init, start
        The module, its rank and scale, its `init_lora_weights` as a word, and how it starts.
    rslora
        How the scale depends on the rank, for the remedies.
    question
        What else the user asks about.
    variants
        Additions to LoRA in the configuration, because of which A and B alone do not decide the order.
    bias
        Whether B has a trained bias, whose kernel is s² times that of a bias that full fine-tuning trains.
    variance
        The variance of A, if it was given instead of the option's own.
    measures, dtypes
        Measures of the saved factors, None for a configuration alone, and the types in which A and B are stored.
    """
    factor, width = drawn(shape.sizes, start)
    law = start.A if factor == "A" else start.B
    own = 1 / width if law == ORTHONORMAL else law.variance
    if own is not None and law.rank is not None:
        own *= law.rank / settings.rank
    expected = condition(settings, shape.sizes, start)
    mean, gram = weaker(settings, start, question)
    found = None if measures is None else measured(measures, dtypes, settings, shape, start)
    if found is not None:
        order, by = found.holds, "A as saved" if found.fresh else "A and B as saved"
        by = "B as saved" if found.fresh and factor == "B" else by
    else:
        order, by = expected.holds, "configured start" if start.theory else "not decided by the configuration"
    if variants and not (order and found is not None and ONE_SIDED.issuperset(variants)):
        order, by = None, "not decided by A and B alone"
    elif bias and order is not None:
        order = False if not order or settings.scale**2 > 1 else None
        by += ", and B's bias" if order is False else ": in order if full fine-tuning trains this layer's bias too"
    remedy = Remedy()
    if order is False and not bias:
        if found is not None and (not found.fresh or not start.trains_B):
            remedy = after_training(found, settings, start)
        elif expected.value is not None:
            remedy = at_start(settings, shape.features_in, init, start, expected.value, rslora=rslora, variance=variance)
    notes = ()
    if found is not None:
        rounding = max(ROUNDING[dtype] for dtype in dtypes)
        notes = (*_freshness(found, rounding, settings, start, width, init), *_rounding(found, rounding))
    return Module(
        name=shape.name,
        kind=shape.kind,
        rank=settings.rank,
        features_in=shape.features_in,
        features_out=shape.features_out,
        width=width,
        ratio=settings.rank / width,
        alpha=settings.alpha,
        scale=settings.scale,
        init=init,
        variance=own,
        q=None if own is None else settings.scale**2 * own * width,
        condition=expected,
        mean=mean,
        gram=gram,
        measured=found,
        order=order,
        by=by,
        remedy=remedy,
        notes=notes,
    )

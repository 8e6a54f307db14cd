"""The first order in ``1/r`` of what an adapter with A frozen predicts, exactly: mean, variance, sensitivity to label noise.

With ``Ŵ = AᵀA/r`` for rows of A with independent entries of mean 0, variance 1 and fourth moment ``3 + κ₄``,
``E (Ŵ - I)X(Ŵ - I) = (tr X · I + Xᵀ + κ₄ diag X)/r``. With ``f`` the ridge predictor of full fine-tuning and ``f̂`` that of LoRA
at ``c = 1``, the resolvent identity ``f̂ - f = g⊥ᵀ(I ⊗ (Ŵ - I))Gᵀ(K̂ + λ)⁻¹y`` then gives every first order. Its three
terms come apart here: the first is what the deterministic equivalent has, the second is not, the third is zero for a Gaussian A.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lorantk.theory.gradient_rows import Rows, backward_trace, layer_kernel


class Expansion(NamedTuple):
    """The coefficient of ``1/r``, term by term; their sum is the coefficient.

    Attributes
    ----------
    trace : array (P,)
        From ``tr X · I``.
    transpose : array (P,)
        From ``Xᵀ``.
    kurtosis : array (P,)
        From ``κ₄ diag X``.
    """

    trace: np.ndarray
    transpose: np.ndarray
    kurtosis: np.ndarray

    def total(self) -> np.ndarray:
        """Return the coefficient."""
        return self.trace + self.transpose + self.kurtosis


def _fit(layers, test, y, ridge):
    """Resolvent, its product with y, and the weights ``k R`` of the predictor, all of full fine-tuning."""
    K = sum(layer_kernel(rows, rows) for rows in layers.values())
    k = sum(layer_kernel(test[name], rows) for name, rows in layers.items())
    R = np.linalg.inv(K + ridge * np.eye(len(K)))
    return R, R @ y, k @ R


def _left(rows, test, weights):
    """``Q``, of shape (P, m, n): what the fit leaves of the gradient of each test output."""
    own = test.backward[:, :, None] * test.forward[:, None, :]
    return own - np.einsum("pi,im,in->pmn", weights, rows.backward, rows.forward, optimize=True)


def _sum(parts):
    return Expansion(*(sum(term) for term in zip(*parts, strict=True)))


def mean_expansion(
    layers: Mapping[str, Rows],
    adapted: Sequence[str],
    test: Mapping[str, Rows],
    y: Float[np.ndarray, " M"],
    *,
    ridge: float,
    kurtosis: float = 0.0,
) -> Expansion:
    """Return ``lim r (E f̂ - f)`` on test inputs, the same rank in every adapted layer.

    ``-Σ_l [tr(T_l B Qᵀ) + Σ_ab R_ab (δ_bᵀB h_a)(δ_aᵀQ h_b) + κ₄ Σ_ab R_ab Σ_e h_ae h_be (Qᵀδ_a)_e (Bᵀδ_b)_e]`` with
    ``B = Σ_i (Ry)_i δ_i h_iᵀ`` and ``Q = δhᵀ - Σ_i (Rk)_i δ_i h_iᵀ``.

    Parameters
    ----------
    layers : dict of str to Rows
        The layers that train, on the training inputs.
    adapted : sequence of str
        Which of them are adapted; the others are trained in full.
    test : dict of str to Rows
        The same layers on the P test outputs.
    y : array (M,)
        Labels minus outputs at the start.
    ridge : float
        ``λ > 0``.
    kurtosis : float
        ``κ₄``, see `lorantk.theory.laws.excess_kurtosis`.

    Returns
    -------
    Expansion
        The three terms of the coefficient.

    Examples
    --------
    ``φ = (1, 0)``, ``h = (1, 1)``, ``λ = y = 1``: ``-1/4`` in all.

    >>> from lorantk.theory import rank_expansion
    >>> from lorantk.theory.gradient_rows import Rows
    >>> one, case = np.ones((1, 1)), dict(adapted=["W1"], y=np.ones(1), ridge=1.0)
    >>> case["layers"] = {"W1": Rows(one, np.array([[1.0, 0.0]]))}
    >>> case["test"] = {"W1": Rows(one, np.array([[1.0, 1.0]]))}
    >>> [float(term[0]) for term in rank_expansion.mean_expansion(**case)[:2]]
    [-0.125, -0.125]
    """
    R, Ry, weights = _fit(layers, test, y, ridge)
    parts = []
    for name in adapted:
        rows = layers[name]
        Q, B = _left(rows, test[name], weights), rows.backward.T @ (Ry[:, None] * rows.forward)
        D, H = rows
        across = np.einsum("am,pmn->pan", D, Q)  # rows δ_aᵀQ
        back = D @ B  # rows δ_bᵀB
        parts.append(
            (
                -np.einsum("pmn,mn->p", Q, backward_trace(rows, R) @ B),
                -np.einsum("ab,pab,ba->p", R, across @ H.T, back @ H.T, optimize=True),
                -kurtosis * np.einsum("ab,pan,bn->p", R, across * H, back * H, optimize=True),
            )
        )
    return _sum(parts)


def variance_expansion(
    layers: Mapping[str, Rows],
    adapted: Sequence[str],
    test: Mapping[str, Rows],
    y: Float[np.ndarray, " M"],
    *,
    ridge: float,
    kurtosis: float = 0.0,
) -> Expansion:
    """Return ``lim r Var f̂`` on test inputs, the same rank in every adapted layer.

    ``Σ_l [tr(XXᵀ) + tr(X²) + κ₄ Σ_e X_ee²]`` with ``X = QᵀB``, see `mean_expansion`.

    Parameters
    ----------
    layers, test : dict of str to Rows
        Training and test outputs, as in `mean_expansion`.
    adapted : sequence of str
        Which layers are adapted.
    y : array (M,)
        Labels minus outputs at the start.
    ridge, kurtosis : float
        ``λ > 0`` and ``κ₄``.

    Returns
    -------
    Expansion
        The three terms of the coefficient.

    Examples
    --------
    The example of `mean_expansion`: 3/8 for a Gaussian A, 1/4 for signs.

    >>> from lorantk.theory import rank_expansion
    >>> from lorantk.theory.gradient_rows import Rows
    >>> one, case = np.ones((1, 1)), dict(adapted=["W1"], y=np.ones(1), ridge=1.0)
    >>> case["layers"] = {"W1": Rows(one, np.array([[1.0, 0.0]]))}
    >>> case["test"] = {"W1": Rows(one, np.array([[1.0, 1.0]]))}
    >>> [float(rank_expansion.variance_expansion(**case, kurtosis=k).total()[0]) for k in (0.0, -2.0)]
    [0.375, 0.25]
    """
    _, Ry, weights = _fit(layers, test, y, ridge)
    parts = []
    for name in adapted:
        rows = layers[name]
        X = np.einsum("pmn,mk->pnk", _left(rows, test[name], weights), rows.backward.T @ (Ry[:, None] * rows.forward))
        diagonal = np.einsum("pnn->pn", X)
        parts.append(((X**2).sum(axis=(1, 2)), (X * X.transpose(0, 2, 1)).sum(axis=(1, 2)), kurtosis * (diagonal**2).sum(axis=1)))
    return _sum(parts)


class Sign(NamedTuple):
    """Whether low rank raises the sensitivity of an adapted head to label noise, see `rank_sign`.

    Attributes
    ----------
    slope : float
        ``lim r (S(r) - S(∞))``, summed over the test inputs.
    raising : float
        ``df₁ - df₂ + ⟨p⟩``.
    lowering : float
        ``3⟨p²⟩ + 2 df₁⟨p⟩``; the slope has the sign of ``raising - lowering``.
    equivalent : float
        ``df₁ - df₂ - 2 df₁⟨p⟩``, in which the deterministic equivalent has its sign.
    """

    slope: float
    raising: float
    lowering: float
    equivalent: float


def rank_sign(features: Float[np.ndarray, "N n"], test: Float[np.ndarray, "T n"], *, ridge: float) -> Sign:
    """Return the first order in ``1/r`` of the sensitivity to label noise ``S(r) = Σ E |k̂(K̂ + λ)⁻¹|²``, Gaussian A on the head.

    ``lim r (S(r) - S(∞)) = (w/λ)(df₁ - df₂ + ⟨p⟩ - 3⟨p²⟩ - 2 df₁⟨p⟩)``, with ``p_i = c_i/(c_i + λ)`` over all n eigenvalues of
    ``ΦᵀΦ``, ``df_k = Σ p_iᵏ``, and ⟨·⟩ the average with the weights ``((1 - p_i) hᵀu_i)²``, summed over the test inputs; w is
    their sum.

    Parameters
    ----------
    features, test : array (N, n) and array (T, n)
        Inputs of the head, one per row.
    ridge : float
        ``λ > 0``.

    Returns
    -------
    Sign
        The slope and the two sides of its sign.

    Raises
    ------
    ValueError
        A ridge that is not positive.

    Examples
    --------
    Exactly -7/200, though the equivalent's criterion is positive:

    >>> from lorantk.theory import rank_expansion
    >>> found = rank_expansion.rank_sign(np.array([[1.0, 0.0]]), np.array([[1.0, 0.6]]), ridge=1.0)
    >>> round(200 * found.slope, 9), round(found.equivalent, 4)
    (-7.0, 0.0451)
    """
    if not ridge > 0:
        msg = f"the ridge must be positive; got {ridge}"
        raise ValueError(msg)
    c, U = np.linalg.eigh(features.T @ features)
    p = c.clip(0) / (c.clip(0) + ridge)
    weights = (((1 - p) * (test @ U)) ** 2).sum(axis=0)
    total = weights.sum()
    first, second = (float(weights @ p**k / total) if total else 0.0 for k in (1, 2))
    df1, df2 = p.sum(), (p**2).sum()
    raising, lowering = df1 - df2 + first, 3 * second + 2 * df1 * first
    slope = total * (raising - lowering) / ridge
    return Sign(float(slope), float(raising), float(lowering), float(df1 - df2 - 2 * df1 * first))

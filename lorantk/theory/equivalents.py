"""The deterministic equivalent of a network with adapters: full fine-tuning with smaller backward products.

With A frozen, ``B = 0`` and the mean factor ``c = s² r σ_a²`` divided out, an adapted layer's kernel is
``K̂_l = (1/r) Σ_k Z_k Z_kᵀ``, ``Z_k = diag(H a_k) D``: rows ``δ`` in D, inputs ``h`` in H, and a_k the rows of A, of variance 1.
LoRA's ridge predictor ``k̂ (K̂ + λ)⁻¹ y`` is random through A. Its mean is close to that of full fine-tuning with ``δᵀδ'``
replaced by ``δᵀE_lδ'``, where

``E_l = (I + T_l/r)⁻¹,  T_l = D_lᵀ(R̄ ∘ H_lH_lᵀ)D_l,  R̄ = (λ + K_0 + Σ_l (D_l E_l D_lᵀ) ∘ H_lH_lᵀ)⁻¹``

and K_0 is the kernel of the layers in full.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, gmres

from lorantk.theory.gradient_rows import Rows, layer_kernel


class MatrixEquivalent(NamedTuple):
    """What `matrix_equivalent` returns.

    Attributes
    ----------
    shares : dict of str to array (m, m)
        ``E_l`` of each adapted layer, between 0 and I: the share of its rank that the data leave free.
    resolvent : array (M, M)
        ``R̄``.
    iterations : int
        How many it took.
    """

    shares: dict[str, np.ndarray]
    resolvent: np.ndarray
    iterations: int


class MeanBound(NamedTuple):
    """What `mean_bound` returns.

    Attributes
    ----------
    defect : float
        ``ε``.
    distance : float
        ``D = (1 + ρ) log 1/(1 - ε)``, infinite where ``ε ≥ 1``.
    outputs : float
        What ``|E f̂ - f̄|`` is at most, in units of ``|y| √(K(x, x)/λ)``.
    """

    defect: float
    distance: float
    outputs: float


class Prediction(NamedTuple):
    """Mean and covariance over A of the outputs on test inputs, see `predict`.

    Attributes
    ----------
    mean : array (P,)
        One for each row of the test layers.
    covariance : array (P/C, C, C)
        Of the C outputs on each test input.
    """

    mean: np.ndarray
    covariance: np.ndarray


def _check(layers, ranks, ridge):
    if missing := [name for name in ranks if name not in layers]:
        msg = f"ranks must be given for layers among {', '.join(layers)}; got {', '.join(missing)}"
        raise ValueError(msg)
    if not ridge > 0 or any(not rank > 0 for rank in ranks.values()):
        msg = f"the ridge and every rank must be positive; got {ridge} and {dict(ranks)}"
        raise ValueError(msg)


def matrix_equivalent(
    layers: Mapping[str, Rows],
    ranks: Mapping[str, float],
    ridge: float,
    *,
    tolerance: float = 1e-10,
    iterations: int = 10_000,
) -> MatrixEquivalent:
    """Return the solution of ``E_l = (I + T_l/r_l)⁻¹``, to which the iteration from ``E_l = I`` falls monotonically.

    There is exactly one solution. Each step shrinks the distance to it, in Thompson's metric, to at most
    ``‖K‖/(‖K‖ + λ)`` of what it was, K the kernel of the adapted layers.

    Parameters
    ----------
    layers : dict of str to Rows
        The layers that train, on the training inputs.
    ranks : dict of str to float
        ``r_l`` of the adapted layers; a layer without a rank is trained in full.
    ridge : float
        ``λ > 0``, in units of the kernel at ``c = 1``.
    tolerance : float
        The iteration stops once no entry of any ``E_l`` changes by more than this.
    iterations : int
        Largest number of steps.

    Returns
    -------
    MatrixEquivalent
        The solution.

    Raises
    ------
    ValueError
        A rank for a layer that is not there, a ridge or a rank that is not positive, or no convergence.

    Examples
    --------
    One example, ``K = 4``, rank 1 and λ = 2: ``E = 1/(1 + 4/(2 + 4E))``, that is ``2E² + E = 1``.

    >>> from lorantk.theory import equivalents, gradient_rows
    >>> rows = gradient_rows.Rows(np.array([[1.0]]), np.array([[2.0]]))
    >>> found = equivalents.matrix_equivalent({"W1": rows}, {"W1": 1}, 2.0)
    >>> round(float(found.shares["W1"][0, 0]), 8)
    0.5
    """
    _check(layers, ranks, ridge)
    squares = {name: rows.forward @ rows.forward.T for name, rows in layers.items()}
    M = len(next(iter(squares.values())))
    fixed = ridge * np.eye(M) + sum(layer_kernel(layers[name], layers[name]) for name in layers if name not in ranks)

    def resolvent(shares):
        K = fixed + sum((layers[name].backward @ E @ layers[name].backward.T) * squares[name] for name, E in shares.items())
        return cho_solve(cho_factor(K), np.eye(M))

    shares = {name: np.eye(layers[name].backward.shape[1]) for name in ranks}
    for step in range(iterations):
        R, change = resolvent(shares), 0.0
        for name, rank in ranks.items():
            D = layers[name].backward
            T = D.T @ ((R * squares[name]) @ D)
            E = np.linalg.inv(np.eye(len(T)) + (T + T.T) / (2 * rank))
            change, shares[name] = max(change, np.abs(E - shares[name]).max()), E
        if change <= tolerance:
            return MatrixEquivalent(shares, resolvent(shares), step + 1)
    msg = f"expected the shares to settle to {tolerance} within {iterations} steps; got a change of {change}"
    raise ValueError(msg)


def _matrix(rows, vector):
    """``Σ_i v_i δ_i h_iᵀ``: the gradient of a combination of outputs."""
    return rows.backward.T @ (vector[:, None] * rows.forward)


def mean_bound(layers: Mapping[str, Rows], ranks: Mapping[str, float], ridge: float) -> MeanBound:
    """Return a bound on the distance of the mean over A from the equivalent: ``e^{-D} R̄ ⪯ E(K̂ + λ)⁻¹ ⪯ e^D R̄``.

    ``ε = (ρ/r)(√6 F + ρ + 3F²(1/√r + 1/r))`` with ``ρ = Σ_l ‖K_l‖/λ`` and ``F = ‖Σ_l K_l‖_F/λ`` over the adapted layers and r
    their least rank. It holds for independent entries of A, of mean 0 and a fourth moment of at most 3 times the squared
    variance: Gaussian, uniform, signs.

    Parameters
    ----------
    layers, ranks : dict
        As for `matrix_equivalent`.
    ridge : float
        ``λ > 0``.

    Returns
    -------
    MeanBound
        ``ε``, ``D`` and the bound on outputs ``ε/√ρ + (1 + √ρ)(e^D - 1)``.

    Raises
    ------
    ValueError
        As for `matrix_equivalent`.

    Examples
    --------
    >>> from lorantk.theory import equivalents, gradient_rows
    >>> layers = {"W1": gradient_rows.Rows(np.ones((1, 1)), np.ones((1, 1)))}
    >>> bounds = [equivalents.mean_bound(layers, {"W1": r}, 1.0) for r in (1, 100, 10_000)]
    >>> [round(bound.distance, 4) for bound in bounds]
    [inf, 0.0771, 0.0007]
    """
    _check(layers, ranks, ridge)
    kernels = [layer_kernel(layers[name], layers[name]) / ridge for name in ranks]
    rank, rho, F = min(ranks.values()), sum(np.linalg.norm(K, 2) for K in kernels), np.linalg.norm(sum(kernels))
    defect = rho / rank * (np.sqrt(6) * F + rho + 3 * F**2 * (rank**-0.5 + 1 / rank))
    distance = -(1 + rho) * np.log1p(-defect) if defect < 1 else np.inf
    outputs = defect / np.sqrt(rho) + (1 + np.sqrt(rho)) * np.expm1(distance)
    return MeanBound(float(defect), float(distance), float(outputs))


def scatter_matrices(
    found: MatrixEquivalent,
    layers: Mapping[str, Rows],
    ranks: Mapping[str, float],
    y: Float[np.ndarray, " M"],
    *,
    tolerance: float = 1e-8,
) -> dict[str, np.ndarray]:
    """Return ``Ω_l``, which give the variance over A of any output: ``Var f̂ = Σ_l ⟨Q_lQ_lᵀ, Ω_l⟩/r_l``.

    ``Ω = (1 - 𝒦*)⁻¹(E_l B_lB_lᵀE_l)`` with ``B_l = Σ_i (R̄y)_i δ_i h_iᵀ`` and ``𝒦*`` the derivative of the equations for E,
    ``𝒦*(Y)_l = E_l D_lᵀ((R̄ Σ_l' ((D_l' Y_l' D_l'ᵀ) ∘ H_l'H_l'ᵀ) R̄/r_l') ∘ H_lH_lᵀ) D_l E_l``. It comes from adding the test
    input to the data with an infinitesimal weight, the remark of Jacot et al. (2020) for one feature map.

    Parameters
    ----------
    found : MatrixEquivalent
        From `matrix_equivalent`.
    layers, ranks : dict
        As there.
    y : array (M,)
        Labels minus outputs at the start.
    tolerance : float
        Relative residual at which the linear equations for Ω count as solved.

    Returns
    -------
    dict of str to array (m, m)
        ``Ω_l`` of each adapted layer.

    Raises
    ------
    ValueError
        The linear equations for Ω do not converge.

    Examples
    --------
    The example of `matrix_equivalent` with ``y = 1``: ``R̄ = ¼``, ``B = ½`` and ``𝒦* = ¼``.

    >>> from lorantk.theory import equivalents, gradient_rows
    >>> layers = {"W1": gradient_rows.Rows(np.array([[1.0]]), np.array([[2.0]]))}
    >>> found = equivalents.matrix_equivalent(layers, {"W1": 1}, 2.0)
    >>> Ω = equivalents.scatter_matrices(found, layers, {"W1": 1}, np.ones(1))
    >>> round(12 * float(Ω["W1"][0, 0]), 6)
    1.0
    """
    if not ranks:
        return {}
    R, E = found.resolvent, found.shares
    squares = {name: layers[name].forward @ layers[name].forward.T for name in ranks}
    start = {}
    for name in ranks:
        B = _matrix(layers[name], R @ y)
        start[name] = E[name] @ (B @ B.T) @ E[name]
    sizes = [start[name].size for name in ranks]

    def split(vector):
        parts = np.split(vector, np.cumsum(sizes)[:-1])
        return {name: part.reshape(start[name].shape) for name, part in zip(ranks, parts, strict=True)}

    def join(parts):
        return np.concatenate([parts[name].ravel() for name in ranks])

    def remaining(vector):
        Y = split(vector)
        inner = sum((layers[name].backward @ Y[name] @ layers[name].backward.T) * squares[name] / ranks[name] for name in ranks)
        W = R @ inner @ R
        moved = {}
        for name in ranks:
            D = layers[name].backward
            moved[name] = E[name] @ (D.T @ ((W * squares[name]) @ D)) @ E[name]
        return vector - join(moved)

    operator = LinearOperator((sum(sizes), sum(sizes)), matvec=remaining, dtype=float)
    solution, failed = gmres(operator, join(start), x0=join(start), rtol=tolerance, restart=60, maxiter=20)
    if failed:
        msg = f"expected the equations for Ω to be solved to {tolerance} in 1200 steps; got no solution"
        raise ValueError(msg)
    return split(solution)


def predict(
    found: MatrixEquivalent,
    layers: Mapping[str, Rows],
    ranks: Mapping[str, float],
    test: Mapping[str, Rows],
    y: Float[np.ndarray, " M"],
    *,
    outputs: int = 1,
    tolerance: float = 1e-8,
) -> Prediction:
    """Return the equivalent's mean and covariance over A of the ridge predictor ``k̂(K̂ + λ)⁻¹y`` on test inputs.

    The mean is ``K̄(x, X)R̄y`` with ``K̄ = K_0 + Σ_l (D_l E_l D_lᵀ) ∘ H_lH_lᵀ``. The covariance of two outputs is
    ``Σ_l ⟨Q_cQ_dᵀ, Ω_l⟩/r_l``, where ``Q = δhᵀ - Σ_i (R̄K̄(X, x))_i δ_i h_iᵀ`` is what the fit leaves of a test output's gradient.

    Parameters
    ----------
    found : MatrixEquivalent
        From `matrix_equivalent`.
    layers, ranks : dict
        As there.
    test : dict of str to Rows
        The same layers on the test inputs, outputs varying fastest.
    y : array (M,)
        Labels minus outputs at the start.
    outputs : int
        ``C``, the outputs of one test input, whose covariance is wanted.
    tolerance : float
        As for `scatter_matrices`.

    Returns
    -------
    Prediction
        Mean and covariance.

    Examples
    --------
    The example of `matrix_equivalent`, output at ``h = 1``: what the fit leaves is ``Q = 1 - ¼·½·2·2``.

    >>> from lorantk.theory import equivalents, gradient_rows
    >>> one, two = np.ones((1, 1)), 2 * np.ones((1, 1))
    >>> layers, test = {"W1": gradient_rows.Rows(one, two)}, {"W1": gradient_rows.Rows(one, one)}
    >>> found = equivalents.matrix_equivalent(layers, {"W1": 1}, 2.0)
    >>> mean, covariance = equivalents.predict(found, layers, {"W1": 1}, test, np.ones(1))
    >>> round(float(mean[0]), 6), round(48 * float(covariance[0, 0, 0]), 6)
    (0.25, 1.0)
    """
    omega = scatter_matrices(found, layers, ranks, y, tolerance=tolerance)
    k = sum(layer_kernel(test[name], layers[name], found.shares.get(name)) for name in layers)
    weights = k @ found.resolvent
    covariance = np.zeros((len(k) // outputs, outputs, outputs))
    for name, rank in ranks.items():
        # ⟨Q_cQ_dᵀ, Ω⟩ from kernels with share Ω, without an array for each Q.
        cross = layer_kernel(test[name], layers[name], omega[name])
        half = weights @ layer_kernel(layers[name], layers[name], omega[name]) - cross
        d, h = (part.reshape(-1, outputs, part.shape[1]) for part in test[name])
        own = np.einsum("tcm,tdm->tcd", d @ omega[name], d) * np.einsum("tcn,tdn->tcd", h, h)
        w, cross, half = (part.reshape(-1, outputs, part.shape[1]) for part in (weights, cross, half))
        covariance = covariance + (own + np.einsum("tcm,tdm->tcd", half, w) - np.einsum("tcm,tdm->tcd", w, cross)) / rank
    return Prediction(weights @ y, covariance)

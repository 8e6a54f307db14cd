"""Properties that hold for every input: random shapes, types and sizes from 1e-8 to 1e8, including degenerate data.

Examples are derandomised: every run tries the same ones, so that no run fails by bad luck and none finds anything new. Set
``HYPOTHESIS_SEARCH=1`` to try others. JAX compiles a program for each shape, so shapes come from short lists.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.linalg
from flint import fmpq_mat
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lorantk.experiments.common import statistics
from lorantk.theory import (
    certificates,
    conditions,
    delta,
    fisher,
    gauge,
    information,
    kernels,
    limits,
    networks,
    objectives,
    order,
    projection,
    random_matrices,
    rates,
    spectra,
    trained_order,
    wishart,
)
from lorantk.theory.adapters import adapt, adapter

SEARCH = bool(os.environ.get("HYPOTHESIS_SEARCH"))


def examples(count):
    """Try `count` examples, always the same ones, without a time limit."""
    return settings(max_examples=count, derandomize=not SEARCH, deadline=None, database=None)


seeds = st.integers(0, 2**31 - 1)
# Powers of ten: possible scales of the units of data, loss or weights.
sizes = st.integers(-8, 8).map(lambda power: 10.0**power)
# Widths, activation, roles; the last network has 1 output, the second an adapter as wide as its layer.
NETWORKS = [
    ((4, 6, 5, 2), "relu", ("full", "lora", "lora")),
    ((3, 3, 3, 2), "erf", ("lora", "lora-fa", "full")),
    ((5, 4, 1), "relu", ("lora", "lora")),
]
ROWS = 6


@st.composite
def data(draw, rows, columns):
    """Draw a matrix of any scale, whose rows may repeat, be multiples of each other or be zero."""
    rng = np.random.default_rng(draw(seeds))
    rank = draw(st.integers(1, min(rows, columns)))
    x = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    kind = draw(st.sampled_from(["plain", "repeated", "parallel", "a row of zeros"]))
    x[1] = {"plain": x[1], "repeated": x[0], "parallel": -2 * x[0], "a row of zeros": 0 * x[0]}[kind]
    return draw(sizes) * x


@st.composite
def spectrum(draw):
    """Draw eigenvalues of a non-zero positive semi-definite matrix: some equal, some 0, over sixteen orders of magnitude."""
    powers = draw(st.lists(st.integers(-8, 8), min_size=1, max_size=8))
    values = [10.0**power for power in powers] + [0.0] * draw(st.integers(0, 3))
    return draw(sizes) * np.array(values)


def close(a, b, tolerance=1e-9):
    """Say whether two arrays agree, relative to the largest entry of the second."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.isfinite(a).all() and np.isfinite(b).all() and np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-300)


def least(K):
    """Return the least eigenvalue over the largest entry."""
    K = np.asarray(K, float)
    return np.linalg.eigvalsh((K + K.T) / 2)[0] / max(np.abs(K).max(), 1e-300)


def orthogonal(n, seed):
    """Return a random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def build(shape, seed, *, law="gaussian", B=True, scale=1.5):
    """Return a network of `NETWORKS` with adapters of rank 2, or 1 if a layer has too few inputs."""
    widths, activation, roles = shape
    network = networks.init_network(widths, key=jax.random.key(seed), activation=activation)
    network = adapt(network, adapter(2, scale=scale, law=law, variance=None), roles=roles, key=jax.random.key(seed + 1))
    ups = {
        f"B{l}": jax.random.normal(jax.random.key(seed + 2 + l), layer.B.shape)
        for l, layer in enumerate(network.layers, 1)
        if layer.B is not None
    }
    return networks.replace_parameters(network, ups) if B else network


def gram(network, x, x2=None):
    """Return the kernel as a Gram matrix."""
    return kernels.as_matrix(kernels.ntk(network, x, x2, outputs="full"))


shapes = st.sampled_from(NETWORKS)


# ---- kernels at finite width


@examples(25)
@given(st.data(), shapes, seeds)
def test_a_kernel_is_symmetric_semi_definite_and_that_of_automatic_differentiation(drawn, shape, seed):
    network = build(shape, seed)
    x = jnp.asarray(drawn.draw(data(ROWS, shape[0][0])))
    K = gram(network, x)
    assert close(K, K.T, 1e-13)
    assert least(K) >= -1e-12
    assert close(K, kernels.as_matrix(reference.ntk(network, x, x)), 1e-11)


@examples(15)
@given(st.data(), shapes, seeds)
def test_a_kernel_moves_with_the_order_of_the_data_and_not_with_the_basis_of_the_features(drawn, shape, seed):
    network = build(shape, seed)
    x = jnp.asarray(drawn.draw(data(ROWS, shape[0][0])))
    K = kernels.ntk(network, x, outputs="full")
    rows = np.random.default_rng(seed).permutation(ROWS)
    assert close(kernels.ntk(network, x[rows], outputs="full"), K[rows][:, rows], 1e-12)
    Q = jnp.asarray(orthogonal(shape[0][0], seed))
    first = network.layers[0]
    turned = {"W1": first.W @ Q.T} | ({} if first.A is None else {"A1": first.A @ Q.T})
    assert close(kernels.ntk(networks.replace_parameters(network, turned), x @ Q.T, outputs="full"), K, 1e-10)


@examples(15)
@given(st.data(), seeds, sizes)
def test_the_kernel_of_relu_networks_grows_with_the_square_of_the_inputs(drawn, seed, size):
    network = build(NETWORKS[0], seed)
    x = jnp.asarray(drawn.draw(data(ROWS, 4)))
    assert close(gram(network, size * x) / size**2, gram(network, x), 1e-11)


@examples(15)
@given(st.data(), shapes, seeds)
def test_float32_gives_finite_kernels_near_those_of_float64(drawn, shape, seed):
    network = build(shape, seed)
    x = drawn.draw(data(ROWS, shape[0][0]))
    assume(np.abs(x).max() < 1e8)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network)
    K = gram(single, jnp.asarray(x, jnp.float32))
    assert K.dtype == jnp.float32
    # Where a pre-activation of float32 falls on the other side of ReLU's kink, whole entries change.
    if shape[1] != "relu":
        assert close(K, gram(network, jnp.asarray(x)), 1e-4)
    assert np.isfinite(K).all()


@examples(15)
@given(st.data(), shapes, seeds)
def test_orthonormal_adapters_lower_the_kernel_and_move_its_eigenvalues_by_at_most_the_gap(drawn, shape, seed):
    lora = build(shape, seed, law="orthonormal", B=False, scale=1.0)
    x = jnp.asarray(drawn.draw(data(ROWS, shape[0][0])))
    K, full = gram(lora, x), gram(kernels.as_full_fine_tuning(lora), x)
    values, above = np.linalg.eigvalsh(K), np.linalg.eigvalsh(full)
    unit = max(above[-1], 1e-300)
    assert np.linalg.eigvalsh(full - K)[0] >= -1e-12 * unit
    assert ((above - values) >= -1e-12 * unit).all()
    assert np.abs(above - values).max() <= np.linalg.norm(full - K, 2) + 1e-12 * unit  # Weyl
    tau = 1e-3 * unit
    bits = [information.regularised_information(np.clip(v, 0, None), tau=tau, unit="bits") for v in (values, above)]
    assert bits[0] <= bits[1] + 1e-9


@examples(15)
@given(st.data(), seeds, st.sampled_from([0.125, 0.5, 2.0, 1e4]))
def test_the_gauge_leaves_the_function_and_scales_the_parts_of_the_kernel(drawn, seed, k):
    network = build(NETWORKS[0], seed)
    x = jnp.asarray(drawn.draw(data(ROWS, 4)))
    moved = gauge.rescale(network, k)
    assert close(networks.forward(moved, x), networks.forward(network, x), 1e-12)
    parts, after = (kernels.ntk_terms(n, x, outputs="trace") for n in (network, moved))
    for name in parts:
        assert close(after[name], parts[name] * {"A": 1 / k**2, "B": k**2, "W": 1.0}[name[0]], 1e-11)
    merged = kernels.as_full_fine_tuning(network)
    assert close(networks.forward(merged, x), networks.forward(network, x), 1e-11)


@examples(10)
@given(st.data(), seeds)
def test_kernels_refuse_what_is_not_finite(drawn, seed):
    network = build(NETWORKS[0], seed)
    W = np.array(network.layers[1].W)
    W[drawn.draw(st.integers(0, 4)), drawn.draw(st.integers(0, 5))] = drawn.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with pytest.raises(ValueError, match="W2"):
        kernels.ntk(networks.replace_parameters(network, {"W2": jnp.asarray(W)}), jnp.ones((2, 4)), outputs="trace")


# ---- the limit of infinite width


@examples(40)
@given(st.data(), st.sampled_from(limits.CLOSED_FORMS), st.sampled_from([1, 3]), seeds)
def test_limit_kernels_are_semi_definite_and_finite_at_every_size(drawn, activation, depth, seed):
    x = jnp.asarray(drawn.draw(data(ROWS, 4)))
    found = limits.limit_recursion(x, depth=depth, activation=activation)
    for K in (*found.sigma, *found.kernel):
        assert close(K, K.T, 1e-12)
        assert least(K) >= -1e-9
    assert close(found.terms.sum(axis=0), found.kernel[-1], 1e-12)
    Q = jnp.asarray(orthogonal(4, seed))
    assert close(limits.limit_recursion(x @ Q, depth=depth, activation=activation).kernel, found.kernel, 1e-6)


@examples(20)
@given(st.data(), sizes, st.sampled_from(["relu", "identity"]))
def test_limit_kernels_of_homogeneous_activations_grow_with_the_square_of_the_inputs(drawn, size, activation):
    x = jnp.asarray(drawn.draw(data(ROWS, 4)))
    K, scaled = (limits.limit_ntk(c * x, depth=3, activation=activation) for c in (1.0, size))
    assert close(scaled / size**2, K, 1e-9)


@examples(40)
@given(sizes, sizes, st.floats(-0.97, 0.97), st.sampled_from(["erf", "relu", "identity"]))
def test_closed_forms_agree_with_quadrature(a, b, rho, activation):
    assume(activation != "erf" or max(a, b) <= 10)  # the quadrature misses a step that is much narrower than its spacing
    c = rho * np.sqrt(a * b)
    found, truth = limits.dual_activation(activation, a, b, c), limits.dual_activation_by_quadrature(activation, a, b, c)
    assert abs(found[0] - truth[0]) <= 1e-8 * np.sqrt(a * b)
    assert abs(found[1] - truth[1]) <= 1e-8


@examples(30)
@given(sizes, seeds)
def test_the_slopes_of_erf_at_one_input_are_exact_at_every_size(size, seed):
    x = size * np.random.default_rng(seed).normal(size=4)
    rows = jnp.asarray(np.stack([x, x, -x]))
    found = limits.limit_recursion(rows, depth=2, activation="erf").sigma_dot[1]
    assert close(found, np.full((3, 3), 4 / np.pi / np.sqrt(1 + x @ x)), 1e-12)


# ---- the matrix M_Δ and orders


@examples(30)
@given(st.data(), st.sampled_from([(2, 5), (5, 5), (5, 3)]), sizes, seeds)
def test_both_routes_to_the_spectrum_of_m_delta_agree(drawn, shape, scale, seed):
    A = jnp.asarray(drawn.draw(data(*shape)))
    values = delta.m_delta_eigenvalues(A, scale)
    truth = np.linalg.eigvalsh(delta.m_delta(A, scale))
    unit = max(np.abs(truth).max(), 1)
    assert np.abs(np.sort(values) - truth).max() <= 1e-12 * unit
    turned = delta.m_delta_eigenvalues(A @ jnp.asarray(orthogonal(shape[1], seed)), scale)
    assert np.abs(np.asarray(turned) - np.asarray(values)).max() <= 1e-12 * unit


@examples(30)
@given(st.data(), sizes, seeds)
def test_the_restricted_order_is_that_of_the_gram_matrices(drawn, scale, seed):
    features = jnp.asarray(drawn.draw(data(4, 6)))
    A = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 6))) / scale
    top = float(delta.restricted_top(A, features, scale))
    whole = scale**2 * float(jnp.linalg.norm(A, ord=2)) ** 2
    assert 0 <= top <= whole * (1 + 1e-12)
    assert float(delta.restricted_top(A, 1e3 * features[::-1], scale)) == pytest.approx(top, rel=1e-9)
    size = float(jnp.linalg.norm(features, ord=2)) ** 2
    tops = [float(order.ridge_top(A, features, r * size, scale)) for r in (1e-1, 1e-4)]
    assert tops[0] <= tops[1] * (1 + 1e-12) <= top * (1 + 1e-9)
    # ΦM_ΔΦᵀ ⪯ (top - 1) ΦΦᵀ, and with equality in one direction.
    gap = scale**2 * (features @ A.T) @ (features @ A.T).T - top * features @ features.T
    assert np.linalg.eigvalsh(gap)[-1] <= 1e-9 * size * max(top, 1)


@examples(30)
@given(st.data(), st.data(), seeds)
def test_the_least_multiple_in_the_loewner_order_is_that_of_the_pencil(left, right, seed):
    X = left.draw(data(4, 4))
    Y = np.random.default_rng(seed).normal(size=(4, 4)) + 4 * np.eye(4)
    K, M = X @ X.T, Y @ Y.T * right.draw(sizes)
    assert close(order.loewner_top(jnp.asarray(K), jnp.asarray(M)), scipy.linalg.eigh(K, M, eigvals_only=True)[-1], 1e-8)


@examples(30)
@given(st.data(), seeds, sizes)
def test_trained_orders_agree_with_the_matrix_and_are_least_where_balanced(drawn, seed, scale):
    A = jnp.asarray(drawn.draw(data(2, 4)))
    B = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 2)))
    truth = np.linalg.eigvalsh(trained_order.weight_gram(A, B, scale))
    assert close(np.sort(np.ravel(trained_order.weight_gram_eigenvalues(A, B, scale))), truth, 1e-12)
    value, least_value = (float(f(A, B, scale)) for f in (trained_order.trained_value, trained_order.balanced_value))
    assert value == pytest.approx(truth[-1], rel=1e-12)
    assert least_value <= value * (1 + 1e-12)
    balanced = trained_order.balance(A, B)
    assert close(balanced[1] @ balanced[0], B @ A, 1e-12)
    assert float(trained_order.trained_value(*balanced, scale)) == pytest.approx(least_value, rel=1e-9)


# ---- objectives and Fisher matrices


@examples(30)
@given(st.data(), seeds, st.sampled_from(objectives.LOSSES))
def test_objectives_are_inner_products_and_cosines_lie_within_one(drawn, seed, loss):
    network = build(NETWORKS[0], seed)
    x = jnp.asarray(drawn.draw(data(ROWS, 4)))
    targets = jnp.asarray(np.eye(2)[np.random.default_rng(seed).integers(0, 2, ROWS)])
    G = np.asarray(fisher.parameter_gradients(network, x, targets, loss=loss))
    found = {form: objectives.objective(network, (x, targets), (x, targets), loss=loss, form=form) for form in objectives.FORMS}
    assert close(found["signed"], G @ G.T, 1e-10)
    assert close(found["absolute"], np.abs(G @ G.T), 1e-10)
    assert np.isfinite(found["cosine"]).all()
    assert np.abs(found["cosine"]).max() <= 1 + 1e-12


@examples(40)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=3), st.booleans())
def test_the_factor_of_a_softmax_is_exact_at_the_corners_too(powers, corner):
    p = np.eye(3)[powers[0] % 3] if corner else 10.0 ** -np.array(powers)
    p = p / p.sum()
    R = np.asarray(fisher.softmax_factor(jnp.asarray(p)))
    assert np.abs(R @ R.T - (np.diag(p) - np.outer(p, p))).max() <= 1e-15


@examples(15)
@given(st.data(), seeds, st.sampled_from(objectives.LOSSES), st.sampled_from(fisher.REDUCTIONS))
def test_primal_and_dual_fisher_matrices_have_one_spectrum(drawn, seed, loss, reduction):
    network = build(NETWORKS[2], seed) if loss == "squared" else build(NETWORKS[0], seed)
    x = jnp.asarray(drawn.draw(data(ROWS, network.layers[0].W.shape[1])))
    J = fisher.jacobian(network, x)
    R = fisher.output_factor(networks.forward(network, x), loss=loss, kind="exact")
    dual = fisher.dual_matrix(kernels.ntk(network, x, outputs="full"), R, reduction=reduction)
    primal = fisher.fisher_matrix(J, R, reduction=reduction)
    values, truth = (np.linalg.eigvalsh(M)[::-1] for M in (dual, primal))
    count = min(len(values), len(truth))
    assert close(values[:count], truth[:count], 1e-10)


# ---- information, spectra and exact arithmetic


@examples(150)
@given(spectrum(), st.sampled_from([0.0, 0.3, 0.95, 1.0, 1.05, 2.0, np.inf]), sizes, seeds)
def test_normalised_entropies_lie_between_0_and_the_rank_and_know_no_unit(values, alpha, size, seed):
    rank = int(information.numerical_rank(values))
    H = float(information.renyi(values, order=alpha, unit="nats"))
    assert -1e-12 <= H <= np.log(rank) + 1e-12
    shuffled = np.random.default_rng(seed).permutation(values)
    assert information.renyi(size * shuffled, order=alpha, unit="nats") == pytest.approx(H, abs=1e-9)
    assert float(information.renyi(values, order=alpha + 0.01, unit="nats")) <= H + 1e-9
    assert information.renyi(values, order=alpha, unit="bits") == pytest.approx(H / np.log(2), abs=1e-9)
    if alpha != 1:
        printed = information.renyi_as_printed(values / values.sum(), order=alpha, unit="nats")
        assert printed == pytest.approx(H, abs=1e-9)


@examples(100)
@given(spectrum(), sizes, sizes)
def test_information_is_additive_in_the_unit_and_bounded(values, size, ratio):
    rank = int(information.numerical_rank(values))
    bits, moved = (float(information.information_bits(v, unit="nats")) for v in (values, size * values))
    assert moved - bits == pytest.approx(rank * np.log(size) / 2, abs=1e-9 * max(abs(moved), abs(bits), 1))
    tau = ratio * values.max()
    regularised = float(information.regularised_information(values, tau=tau, unit="nats"))
    dimension = float(information.effective_dimension(values, tau=tau))
    assert 0 <= dimension <= (values > 0).sum()
    # x/(1 + x) <= log(1 + x) <= x
    assert dimension / 2 <= regularised * (1 + 1e-12)
    assert regularised <= values.sum() / tau / 2 * (1 + 1e-12)
    assert information.information_bits_as_printed(values) == pytest.approx(values.sum() / 2, rel=1e-12)


@examples(60)
@given(st.data(), sizes)
def test_log_determinants_by_cholesky_and_by_eigenvalues_agree(drawn, ratio):
    x = drawn.draw(data(5, drawn.draw(st.integers(2, 7))))
    K = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    values = np.clip(spectra.eigenvalues(K), 0, None)
    tau = max(ratio, 1e-6) * max(values.max(), 1e-300)  # below, rounding of K exceeds tau
    assert spectra.log_determinant(K, tau=tau) == pytest.approx(np.log1p(values / tau).sum(), rel=1e-6)
    rank = np.linalg.matrix_rank(x, tol=1e-6 * np.abs(x).max())
    assert spectra.count_positive(values, tolerance=1e-10) == rank


@examples(80)
@given(st.integers(1, 4), seeds, st.integers(0, 4))
def test_exact_inertia_counts_signs_as_eigenvalues_do(n, seed, rank):
    rng = np.random.default_rng(seed)
    X, signs = rng.integers(-3, 4, (n, min(rank, n))), rng.choice([-1, 1], min(rank, n))
    M = (X * signs) @ X.T
    exact = certificates.rational_matrix([[int(v) for v in row] for row in M])
    values = np.linalg.eigvalsh(M.astype(float))
    clear = np.where(np.abs(values) > 1e-9, values, 0)
    assert certificates.inertia(exact) == ((clear < 0).sum(), (clear == 0).sum(), (clear > 0).sum())
    assert float(certificates.pseudo_determinant(exact)) == pytest.approx(np.prod(clear[clear != 0]), rel=1e-6)
    assert certificates.is_nsd(exact) == (clear <= 0).all()
    assert certificates.is_nsd(exact - exact.transpose() * 2) == (clear >= 0).all()
    assert isinstance(exact, fmpq_mat)


# ---- laws


@examples(60)
@given(st.integers(1, 4096), st.floats(-1, 1))
def test_projected_cosines_obey_their_bounds_at_every_rank(rank, rho):
    square, mean = projection.mean_squared_cosine(rank, rho), projection.mean_cosine(rank, rho)
    assert max(1 / rank, mean**2) <= square * (1 + 1e-9)
    assert square <= 1 + 1e-12
    assert abs(mean) <= abs(rho) + 1e-12
    assert projection.mean_cosine(rank, -rho) == pytest.approx(-mean)
    assert 0 <= projection.sign_flip_probability(rank, rho) <= 0.5 + 1e-12
    assert projection.sign_flip_probability(rank + 1, rho) <= projection.sign_flip_probability(rank, rho) + 1e-12


@examples(12)
@given(st.integers(2, 512), st.floats(-0.99, 0.99))
def test_distribution_functions_rise_from_0_to_1(rank, rho):
    laws = (projection.squared_cosine_cdf, np.linspace(0, 1, 41)), (projection.inner_product_cdf, np.linspace(-9, 11, 41))
    for law, points in laws:
        values = law(points, rank, rho)
        assert (np.diff(values) >= -1e-9).all()
        assert values.min() >= -1e-9
        assert values.max() <= 1 + 1e-9
        assert values[-1] >= 1 - 1e-3


@examples(40)
@given(st.floats(1e-8, 1))
def test_marchenko_pastur_is_a_law_at_every_ratio(ratio):
    a, b = random_matrices.marchenko_pastur_edges(ratio)
    inside = np.linspace(a, b, 301)
    values = random_matrices.marchenko_pastur_cdf(inside, ratio)
    assert (np.diff(values) >= -1e-9).all()
    assert values[[0, -1]] == pytest.approx([0, 1], abs=1e-6)
    density = random_matrices.marchenko_pastur_density(inside, ratio)
    assert np.isfinite(density).all()
    # Between the ends, where the density is smooth, its integral is the difference of the distribution function.
    middle = slice(60, 241)
    assert np.trapezoid(density[middle], inside[middle]) == pytest.approx(values[240] - values[60], rel=1e-3)


@examples(40)
@given(sizes, st.integers(1, 1024), st.integers(1, 1024))
def test_probabilities_of_the_order_fall_with_the_variance(q, rank, features):
    few, many = (conditions.nsd_probability(c * q, rank, features) for c in (1.01, 1.0))
    assert 0 <= few <= many + 1e-9
    assert many <= 1
    ratio = conditions.sharp_ratio(q)
    assert q >= 1 or conditions.sharp_value(q, ratio) == pytest.approx(1, rel=1e-7)
    per_row = q / features
    capacity = conditions.restricted_capacity(per_row, rank)
    assert capacity == 0 or conditions.restricted_value(per_row, rank, capacity) == pytest.approx(1, rel=1e-7)


@examples(60)
@given(spectrum(), sizes, sizes, st.integers(1, 512))
def test_the_equivalent_lies_below_the_mean_determinant_and_that_below_the_mean_kernel(values, factor, ridge, rank):
    found = wishart.deterministic_equivalent(values, factor, ridge, rank)
    bound = wishart.mean_determinant_bound(values, factor, ridge, rank)
    jensen = np.log1p(factor / ridge * values).sum()
    assert np.isfinite([*found, bound]).all()
    slack = 1e-9 * max(jensen, 1)
    assert -slack <= found.logdet <= jensen + slack
    assert -slack <= bound <= jensen + slack
    # Second order in 1/r apart, by at most log of a binomial coefficient.
    assert found.logdet <= bound + np.log(4 * rank + 4) + slack
    assert 0 < found.free <= 1
    assert 0 <= found.load <= 1


# ---- statistics and rates


@examples(60)
@given(seeds, sizes, st.integers(-8, 8), st.integers(1, 40))
def test_intervals_follow_shift_and_scale(seed, size, shift, comparisons):
    x = np.random.default_rng(seed).normal(size=9)
    usual = statistics.paired_interval(x, comparisons=comparisons)
    moved = statistics.paired_interval(size * (x + shift), comparisons=comparisons)
    wanted = [size * (value + shift) for value in usual[:3]]
    assert moved[:3] == pytest.approx(wanted, rel=1e-9, abs=1e-12 * size)
    assert usual.low < usual.mean < usual.high
    wider = statistics.paired_interval(x, comparisons=comparisons + 1)
    assert wider.low < usual.low
    assert wider.high > usual.high
    flat = statistics.paired_interval(np.full(9, size))
    assert (flat.low, flat.high) == (flat.mean, flat.mean)


@examples(60)
@given(sizes, st.floats(-3, 3), sizes, seeds)
def test_a_power_law_is_found_exactly_in_every_unit(constant, exponent, unit, seed):
    x = unit * np.sort(np.random.default_rng(seed).uniform(1, 100, 6))
    assume(np.ptp(np.log(x)) > 0.1)
    fit = rates.fit_power(x, constant * (x / unit) ** exponent)
    assert fit.exponent == pytest.approx(exponent, abs=1e-9)
    assert fit.constant * unit**fit.exponent == pytest.approx(constant, rel=1e-6)
    slopes = statistics.change(np.stack([3 * x, -x / unit]), x)
    assert slopes == pytest.approx([3 * np.ptp(x), -np.ptp(x) / unit], rel=1e-9)

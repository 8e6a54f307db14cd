"""How many labels fit: ranks of gradients of real networks and of chosen vectors, and training on random labels."""

import itertools

import jax
import numpy as np
import pytest
import reference

from lorantk.theory import capacity, networks
from lorantk.theory.adapters import adapt, adapter
from lorantk.theory.gradient_rows import gradient_rows

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_the_rank_of_the_kernel_of_real_networks(activation, layer, rank):
    """Against automatic differentiation with respect to B. Narrow ReLU layers may stay below the bound: units that are off."""
    network = networks.init_network((12, 6, 6, 2), key=jax.random.key(3), activation=activation)
    x = jax.random.normal(jax.random.key(4), (11, 12))
    rows = [gradient_rows(network, x)[f"W{layer}"]]
    roles = ["lora" if l == layer else "frozen" for l in (1, 2, 3)]
    adapted = adapt(network, adapter(rank, scale=1.0, law="gaussian"), roles=tuple(roles), key=jax.random.key(5))
    found = np.linalg.matrix_rank(np.asarray(reference.jacobian(adapted, x)).reshape(22, -1))
    assert found == capacity.adapter_rank(rows, [np.asarray(adapted.layers[layer - 1].A)])
    bound = capacity.capacity(rows, rank)
    assert found == bound if (activation, layer, rank) != ("relu", 2, 4) else found == bound - 1


def test_layers_in_full_add_their_rank_and_not_their_parameters():
    Phi = RNG.standard_normal((9, 3))
    held = [(np.ones((9, 1)), Phi[:, [0, 0]])]  # two parameters, rank 1
    layers = [(RNG.standard_normal((9, 2)), RNG.standard_normal((9, 5)))]
    assert capacity.full_rank(held) == 1
    assert [capacity.capacity(layers, rank, full=held) for rank in (1, 2, 4, 5)] == [3, 5, 9, 9]
    assert capacity.adapter_rank(layers, [RNG.standard_normal((2, 5))], full=held) == 5
    assert capacity.full_rank([]) == 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_two_adapted_layers_add_their_spans(rank):
    layers = [(RNG.standard_normal((9, 2)), RNG.standard_normal((9, 8))), (np.ones((9, 1)), RNG.standard_normal((9, 7)))]
    As = [RNG.standard_normal((rank, 8)), RNG.standard_normal((rank, 7))]
    rows = np.hstack([np.einsum("pa,pk->pak", D, Phi @ A.T).reshape(9, -1) for (D, Phi), A in zip(layers, As, strict=True)])
    assert (
        np.linalg.matrix_rank(rows @ rows.T) == capacity.adapter_rank(layers, As) == capacity.capacity(layers, rank) == 3 * rank
    )


@pytest.mark.parametrize("seed", range(25))
def test_matroid_union_gives_the_rank_for_one_output(seed):
    """Backward vectors from few values, so that sets of them are dependent in many ways."""
    rng = np.random.default_rng(seed)
    M, m, rank = rng.integers(4, 9), rng.integers(2, 4), rng.integers(1, 4)
    D = rng.integers(-1, 2, (M, m)).astype(float)
    rows = (D, rng.standard_normal((M, M + 1)))
    found = capacity.adapter_rank([rows], [rng.standard_normal((rank, M + 1))])
    assert found == capacity.union_rank(D, rank) <= rank * np.linalg.matrix_rank(D)


def test_the_bound_by_spans_can_be_strict():
    D = np.eye(2)[[0, 0, 0, 1]]
    rows = (D, RNG.standard_normal((4, 6)))
    assert capacity.capacity([rows], 2) == 4
    assert capacity.union_rank(D, 2) == capacity.adapter_rank([rows], [RNG.standard_normal((2, 6))]) == 3


def test_several_outputs_of_one_input_share_their_projection():
    """With C = 2 the union bound is not always reached: one input's rows are both multiples of the same Ah."""
    D = np.array([[1.0, 0], [1, 0], [0, 1]])
    features = np.eye(3)[[0, 0, 1]]
    assert capacity.union_rank(D, 2) == 3
    assert capacity.adapter_rank([(D, features)], [RNG.standard_normal((2, 3))]) == 2


def test_half_of_the_sign_matrices_fall_short():
    rows = (np.ones((2, 1)), np.eye(2))
    found = [capacity.adapter_rank([rows], [np.array(signs).reshape(2, 2)]) for signs in itertools.product((1.0, -1.0), repeat=4)]
    assert sorted(found) == [1] * 8 + [2] * 8
    assert capacity.capacity([rows], 2) == 2


def test_no_draw_exceeds_the_bound():
    for rank in (1, 2, 3):
        rows = (RNG.integers(-1, 2, (8, 3)).astype(float), RNG.integers(-1, 2, (8, 3)).astype(float))
        As = [RNG.integers(-1, 2, (rank, 3)).astype(float) for _ in range(50)]
        assert max(capacity.adapter_rank([rows], [A]) for A in As) <= capacity.capacity([rows], rank)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="rank must be at least 1; got 0"):
        capacity.capacity([(np.ones((2, 1)), np.eye(2))], 0)
    with pytest.raises(ValueError, match="at most 16 rows.*got 17"):
        capacity.union_rank(np.ones((17, 1)), 1)

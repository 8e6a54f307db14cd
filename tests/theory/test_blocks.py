"""Kernels within a memory budget: the same numbers, block by block."""

import io

import jax
import jax.numpy as jnp
import pytest
from reference import adapted_network, relative_error
from tqdm import tqdm

from lorantk.theory import blocks, kernels, networks


def inputs(N, seed=0):
    return jax.random.normal(jax.random.key(seed), (N, 5))


def budget(network, N1, N2, outputs, rows):
    """Return a budget for the kernel and for blocks with the given number of rows."""
    entry = 8 * 3 ** {"full": 2, "diagonal": 1, "trace": 0}[outputs]
    return N1 * N2 * entry + 2 * rows * blocks.bytes_per_input(network) + blocks.ARRAYS * rows**2 * entry


@pytest.mark.parametrize("outputs", kernels.OUTPUTS)
@pytest.mark.parametrize("second", [None, 37])
@pytest.mark.parametrize("trained", [True, False])
def test_blocks_make_the_same_kernel(outputs, second, trained):
    network = adapted_network((5, 9, 7, 3), ("full", "lora", "lora"), trained=trained)
    x1, x2 = inputs(53), None if second is None else inputs(second, 1)
    memory = budget(network, 53, second or 53, outputs, 9)
    rows = blocks.block_rows(network, 53, second or 53, symmetric=second is None, outputs=outputs, memory=memory)
    assert rows in (8, 9)
    whole = kernels.ntk(network, x1, x2, outputs=outputs)
    assert relative_error(blocks.ntk_in_blocks(network, x1, x2, outputs=outputs, memory=memory), whole) < 1e-13


@pytest.mark.parametrize("second", [None, 37])
def test_the_bar_counts_every_block(monkeypatch, second):
    bars = []

    class Bar(tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"file": io.StringIO(), "disable": False})
            bars.append(self)

    monkeypatch.setattr(blocks, "tqdm", Bar)
    network, x2 = adapted_network((5, 9, 3), "full"), None if second is None else inputs(second, 1)
    memory = budget(network, 53, second or 53, "trace", 9)
    blocks.ntk_in_blocks(network, inputs(53), x2, outputs="trace", memory=memory, progress=True)
    [bar] = bars
    assert bar.n == bar.total > 9


def test_one_layer_is_enough_for_blocks():
    network, x = adapted_network((5, 3), "full"), inputs(53)
    blocked = blocks.ntk_in_blocks(network, x, outputs="trace", memory=budget(network, 53, 53, "trace", 9))
    assert relative_error(blocked, kernels.ntk(network, x, outputs="trace")) < 1e-13


def test_a_large_budget_needs_no_blocks():
    network = adapted_network((5, 9, 3), "full")
    assert blocks.block_rows(network, 50, 50, symmetric=True, outputs="trace", memory=10**9) is None
    bounded = blocks.ntk_in_blocks(network, inputs(50), outputs="trace", memory=10**9)
    assert (bounded == kernels.ntk(network, inputs(50), outputs="trace")).all()


@pytest.mark.parametrize("outputs", kernels.OUTPUTS)
@pytest.mark.parametrize("roles", ["full", "lora"])
def test_what_is_compiled_stays_within_the_budget(outputs, roles):
    network, N, memory = adapted_network((5, 200, 200, 3), roles), 4000, 2 * 10**9
    b = blocks.block_rows(network, N, N, symmetric=True, outputs=outputs, memory=memory)
    b = min(b or N, N)
    x = jax.ShapeDtypeStruct((b, 5), jnp.float64)
    factors = blocks._factors.lower(network, x).compile()
    shapes = jax.eval_shape(blocks._factors, network, x)
    block = blocks._block.lower(shapes, shapes, outputs=outputs).compile()
    held = N * N * 8 * 3 ** {"full": 2, "diagonal": 1, "trace": 0}[outputs]
    held_factors = factors.memory_analysis().output_size_in_bytes
    use = block.memory_analysis()
    assert held + 2 * held_factors + use.temp_size_in_bytes + 2 * use.output_size_in_bytes <= memory
    assert held + 2 * held_factors + factors.memory_analysis().temp_size_in_bytes <= memory


@pytest.mark.parametrize(("roles", "rank", "outputs"), [("full", 2, 3), ("lora", 2, 3), ("lora", 50, 10)])
def test_the_factors_of_an_input_take_what_is_said(roles, rank, outputs):
    network, N = adapted_network((50, 50, 50, outputs), roles, rank=rank), 1000
    use = blocks._factors.lower(network, jax.ShapeDtypeStruct((N, 50), jnp.float64)).compile().memory_analysis()
    taken = use.output_size_in_bytes + use.temp_size_in_bytes
    assert blocks.bytes_per_input(network) * N / 2 < taken <= blocks.bytes_per_input(network) * N


def test_a_budget_too_small_for_one_block_is_refused_before_anything_is_computed(monkeypatch):
    network = networks.init_network((5, 9, 3), key=jax.random.key(0))
    monkeypatch.setattr(blocks, "_factors", None)
    least = budget(network, 50, 50, "trace", 1)
    with pytest.raises(ValueError, match=f"memory must be at least {least} bytes, for a kernel of 20000 and .*; got {least - 1}"):
        blocks.ntk_in_blocks(network, inputs(50), outputs="trace", memory=least - 1)
    assert blocks.block_rows(network, 50, 50, symmetric=True, outputs="trace", memory=least) == 1

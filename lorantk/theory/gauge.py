"""The one-parameter gauge of an adapter: ``(A, B) → (k A, B/k)`` leaves ``B A``, and so the function, as it is.

An optimiser whose direction is homogeneous of degree d in the gradients so far (scaling them all by c > 0 scales it by
``c^d``) takes the same path in function space from both starting points if the rates change as ``η_A → k^{1+d} η_A`` and
``η_B → η_B / k^{1+d}``: d = 1 for gradient descent, with momentum or without, d = 0 for Adam with ε = 0.
"""

from collections.abc import Mapping
from dataclasses import replace

from lorantk.choices import one_of
from lorantk.theory.networks import Network

DEGREE = {"sgd": 1, "momentum": 1, "adam": 0}


def _check_factor(k: float) -> None:
    """Raise ValueError unless ``k > 0``."""
    if not k > 0:
        msg = f"the factor k must be positive; got {k}"
        raise ValueError(msg)


def rescale(network: Network, k: float) -> Network:
    """Return the network with each adapter ``(A, B)`` replaced by ``(k A, B/k)``: the same function, ``σ_a`` times k.

    Parameters
    ----------
    network : Network
        With adapters ``A`` of shape ``(r, n_{l-1})`` and ``B`` of shape ``(n_l, r)``.
    k : float
        ``k > 0``.

    Returns
    -------
    Network
        A new one, with factors of the same shapes.

    Raises
    ------
    ValueError
        ``k`` not positive.

    Examples
    --------
    >>> from lorantk.theory import gauge, networks
    >>> one = jnp.ones((1, 1))
    >>> layer = networks.Layer(0 * one, A=one, B=6 * one, scale=1.0, role="lora")
    >>> network = gauge.rescale(networks.Network((layer,), "identity"), 3.0)
    >>> [network.layers[0].A.tolist(), network.layers[0].B.tolist()]
    [[[3.0]], [[2.0]]]
    >>> networks.forward(network, one).tolist()
    [[6.0]]
    """
    _check_factor(k)
    layers = (layer if layer.A is None else replace(layer, A=k * layer.A, B=layer.B / k) for layer in network.layers)
    return replace(network, layers=tuple(layers))


def equivalent_rates(rates: Mapping[str, float], k: float, method: str) -> dict[str, float]:
    """Return the rates that give ``(k A, B/k)`` the path of ``(A, B)``: ``η_A k^{1+d}``, ``η_B / k^{1+d}``, others unchanged.

    Parameters
    ----------
    rates : dict of str to float
        Rate for each kind of matrix, ``"A"``, ``"B"`` and ``"W"``.
    k : float
        ``k > 0``.
    method : {"sgd", "momentum", "adam"}
        A key of `DEGREE`, which has the degree d.

    Returns
    -------
    dict of str to float
        The rates under the same keys.

    Raises
    ------
    ValueError
        ``k`` not positive, or an optimiser whose degree d is not in `DEGREE`.

    Examples
    --------
    >>> from lorantk.theory import gauge
    >>> rates = {"A": 1.0, "B": 1.0}
    >>> [gauge.equivalent_rates(rates, 2.0, method) for method in ("sgd", "adam")]
    [{'A': 4.0, 'B': 0.25}, {'A': 2.0, 'B': 0.5}]
    """
    _check_factor(k)
    one_of("method", method, DEGREE)
    power = {"A": 1 + DEGREE[method], "B": -1 - DEGREE[method]}
    return {kind: rate * k ** power.get(kind, 0) for kind, rate in rates.items()}


def equal_rate_variance(variance: float, ratio: float, method: str) -> float:
    """Return the variance at which equal rates do what ``η_B = ratio · η_A`` does at ``variance``.

    ``k^{2(1+d)} = ratio``, so the variance is multiplied by ``k² = ratio^{1/(1+d)}``: ``√ratio`` for gradient descent and
    ``ratio`` for Adam. The ratio is that of LoRA+ (Hayou, Ghosh and Yu 2024).

    Parameters
    ----------
    variance : float
        ``σ_a²``.
    ratio : float
        ``η_B/η_A``.
    method : {"sgd", "momentum", "adam"}
        A key of `DEGREE`.

    Returns
    -------
    float
        The other variance.

    Examples
    --------
    For gradient descent LoRA+'s ratio ``n`` at ``σ_a² = 1/n`` is equal rates at ``σ_a² = n^{-1/2}``:

    >>> from lorantk.theory import gauge
    >>> gauge.equal_rate_variance(1 / 1024, 1024, "sgd") == 1024**-0.5
    True
    """
    return variance * ratio ** (1 / (1 + DEGREE[method]))

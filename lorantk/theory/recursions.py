"""Layer by layer: the recursions of the neural tangent kernel, exact and as printed.

Write ``Kˡ(x, x')`` for the kernel of the pre-activation ``yˡ`` with respect to the matrices that train in layers 1 to l. It
is an ``n_l × n_l`` matrix, and by the chain rule, exactly and at every width, ::

    Kˡ = Oˡ + Wˡ diag(σ'(yˡ⁻¹)) Kˡ⁻¹ diag(σ'(y'ˡ⁻¹)) Wˡᵀ,    K⁰ = 0,

with ``Wˡ`` the weight in use and ``Oˡ`` the layer's own part: ``⟨h, h'⟩ I`` where the layer trains in full,
``s² ⟨A h, A h'⟩ I + s² ⟨h, h'⟩ B Bᵀ`` where it carries an adapter (``h = hˡ⁻¹``).

Equations 8 and 10 of the paper have the same shape with numbers instead of matrices: ::

    K⁽ˡ⁾ = K⁽ˡ⁻¹⁾ Σ̇⁽ˡ⁾ + Σ⁽ˡ⁾,    K⁽¹⁾ = Σ⁽¹⁾.

Here ``Σ⁽ˡ⁾`` is a sum over units, not a mean: of the order of ``n_{l-1}``.

Two kernels of one network that differ in what trains differ by the same recursions with ``Oˡ`` (``Σ⁽ˡ⁾``) replaced by the
difference of the two, ``Δ_r⁽ˡ⁾``; equation 11 keeps its last step only.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lorantk.theory.kernels import backward_states
from lorantk.theory.laws import check_variance
from lorantk.theory.networks import Layer, Network, activation_derivative, effective_weight, hidden_states


def forward_gram(layer: Layer, h1: Float[Array, "N1 n"], h2: Float[Array, "N2 n"]) -> Float[Array, "N1 N2"]:
    """Return the layer's ``Σ⁽ˡ⁾``, by its role.

    ``⟨h, h'⟩`` in full (equation 8 of the paper), ``s² ⟨A h, A h'⟩`` with an adapter (``Σ_LoRA`` of equation 10; the poster has
    ``s = 1``), 0 where the layer is frozen.

    Parameters
    ----------
    layer : Layer
        The layer.
    h1, h2 : array (N1, n) and array (N2, n)
        Its inputs, one per row.

    Returns
    -------
    array (N1, N2)
        ``Σ⁽ˡ⁾``.

    Examples
    --------
    >>> from lorantk.theory import networks, recursions
    >>> A, B = jnp.array([[1.0, 1.0]]), jnp.zeros((2, 1))
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=2.0, role="lora")
    >>> h1, h2 = jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 0.0]])
    >>> recursions.forward_gram(layer, h1, h2).tolist()
    [[12.0]]
    """
    if layer.role == "frozen":
        return jnp.zeros((len(h1), len(h2)), h1.dtype)
    if layer.role == "full":
        return h1 @ h2.T
    return layer.scale**2 * (h1 @ layer.A.T) @ (h2 @ layer.A.T).T


def own_kernel(layer: Layer, h1: Float[Array, "N1 n"], h2: Float[Array, "N2 n"]) -> Float[Array, "N1 N2 m m"]:
    """Return the kernel of ``y = W h`` with respect to the layer's own matrices, ``Oˡ`` of this module's heading.

    Exact for every B: where A trains, ``B ≠ 0`` adds ``s² ⟨h, h'⟩ B Bᵀ``.

    Parameters
    ----------
    layer : Layer
        The layer, of m outputs.
    h1, h2 : array (N1, n) and array (N2, n)
        Its inputs, one per row.

    Returns
    -------
    array (N1, N2, m, m)
        ``Oˡ``.

    Examples
    --------
    >>> from lorantk.theory import networks, recursions
    >>> A, B = jnp.array([[1.0, 1.0]]), jnp.array([[1.0], [0.0]])
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=2.0, role="lora")
    >>> h1, h2 = jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 0.0]])
    >>> recursions.own_kernel(layer, h1, h2)[0, 0].tolist()
    [[16.0, 0.0], [0.0, 12.0]]
    """
    identity = jnp.eye(layer.W.shape[0], dtype=layer.W.dtype)
    own = jnp.einsum("ij,kl->ijkl", forward_gram(layer, h1, h2), identity)
    if layer.role == "lora":
        own += jnp.einsum("ij,kl->ijkl", h1 @ h2.T, layer.scale**2 * layer.B @ layer.B.T)
    return own


@jax.jit
def layer_kernels(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"]) -> list[Array]:
    """Return ``[K¹, …, Kᴸ]`` by the matrix recursion of this module's heading.

    The last one is the kernel of the network, as `lorantk.theory.kernels.ntk` gives it with ``outputs="full"``. Memory is
    that of ``N1 N2 n²`` numbers for the widest layer: meant for checks, not for speed.

    Parameters
    ----------
    network : Network
        The network.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.

    Returns
    -------
    list of L arrays (N1, N2, n_l, n_l)
        ``Kˡ``.

    Examples
    --------
    >>> from lorantk.theory import networks, recursions
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 2.0]]])
    >>> x1, x2 = jnp.array([[1.0, 0.5]]), jnp.array([[2.0, 4.0]])
    >>> [K[0, 0].tolist() for K in recursions.layer_kernels(network, x1, x2)]
    [[[4.0, 0.0], [0.0, 4.0]], [[24.0]]]
    """
    (hs1, ys1), (hs2, ys2) = hidden_states(network, x1), hidden_states(network, x2)
    return _matrix_recursion(network, map(own_kernel, network.layers, hs1, hs2), ys1, ys2)


def _matrix_recursion(network, own_terms, ys1, ys2):
    kernels = []
    for l, (layer, K) in enumerate(zip(network.layers, own_terms, strict=True)):
        if l > 0:
            W = effective_weight(layer)
            left, right = (activation_derivative(network.activation, ys[l - 1]) for ys in (ys1, ys2))
            below = left[:, None, :, None] * kernels[-1] * right[None, :, None, :]
            K += jnp.einsum("pk,ijkl,ql->ijpq", W, below, W, optimize=True)
        kernels.append(K)
    return kernels


@jax.jit
def sigmas(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"]) -> list[Array]:
    """Return ``[Σ⁽¹⁾, …, Σ⁽ᴸ⁾]`` of a sampled network: `forward_gram` of each layer.

    Parameters
    ----------
    network : Network
        The network.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.

    Returns
    -------
    list of L arrays (N1, N2)
        ``Σ⁽ˡ⁾``.

    Examples
    --------
    >>> from lorantk.theory import networks, recursions
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 2.0]]])
    >>> x = jnp.array([[3.0, -4.0]])
    >>> [S.tolist() for S in recursions.sigmas(network, x, x)]
    [[[25.0]], [[9.0]]]
    """
    hs1, hs2 = hidden_states(network, x1)[0], hidden_states(network, x2)[0]
    return [forward_gram(layer, h1, h2) for layer, h1, h2 in zip(network.layers, hs1, hs2, strict=True)]


@jax.jit
def _slope_means(network, x1, x2):
    ys1, ys2 = hidden_states(network, x1)[1], hidden_states(network, x2)[1]
    slopes = [[activation_derivative(network.activation, y) for y in ys[:-1]] for ys in (ys1, ys2)]
    return [d1 @ d2.T / d1.shape[1] for d1, d2 in zip(*slopes, strict=True)]


def sigma_dots(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"], *, weight_variance: float) -> list[Array]:
    """Return ``[Σ̇⁽²⁾, …, Σ̇⁽ᴸ⁾]`` of a sampled network.

    ``Σ̇⁽ˡ⁾ = (σ_w²/n_{l-1}) Σ_j σ'(y_j^{l-1}) σ'(y'_j^{l-1})``, a mean over units. The poster uses the symbol without a
    definition; this one is what the limit of the matrix recursion needs.

    Parameters
    ----------
    network : Network
        The network.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.
    weight_variance : float
        ``σ_w²``, the variance of W's entries times their number of inputs.

    Returns
    -------
    list of L - 1 arrays (N1, N2)
        ``Σ̇⁽ˡ⁾``.

    Raises
    ------
    ValueError
        A variance that is not positive and finite.

    Examples
    --------
    One of two ReLU units is on:

    >>> from lorantk.theory import networks, recursions
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 2.0]]])
    >>> x = jnp.array([[3.0, -4.0]])
    >>> recursions.sigma_dots(network, x, x, weight_variance=2.0)[0].tolist()
    [[1.0]]
    """
    check_variance(weight_variance, "weight_variance")
    return [weight_variance * mean for mean in _slope_means(network, x1, x2)]


def scalar_recursion(terms: Sequence[Array], factors: Sequence[Array]) -> list[Array]:
    """Return ``[K⁽¹⁾, …, K⁽ᴸ⁾]`` with ``K⁽¹⁾ = T⁽¹⁾`` and ``K⁽ˡ⁾ = K⁽ˡ⁻¹⁾ F⁽ˡ⁾ + T⁽ˡ⁾``, products entrywise.

    Equations 8 and 10 of the paper as printed, for all pairs of inputs at once: ``T = Σ`` or ``Σ_LoRA``, ``F = Σ̇``. With
    ``T = Δ_r`` it is the corrected equation 11.

    Parameters
    ----------
    terms : sequence of L arrays of one shape, or numbers
        ``T⁽¹⁾, …, T⁽ᴸ⁾``.
    factors : sequence of L - 1 arrays of the same shape, or numbers
        ``F⁽²⁾, …, F⁽ᴸ⁾``.

    Returns
    -------
    list of L arrays of the same shape
        ``K⁽ˡ⁾``.

    Raises
    ------
    ValueError
        A number of factors other than one below the number of terms.

    Examples
    --------
    >>> from lorantk.theory import recursions
    >>> recursions.scalar_recursion([1.0, 2.0, 3.0], [0.5, 0.5])
    [1.0, 2.5, 4.25]
    """
    if len(factors) != len(terms) - 1:
        msg = f"factors must be one fewer than the {len(terms)} terms; got {len(factors)}"
        raise ValueError(msg)
    kernels = [terms[0]]
    for term, factor in zip(terms[1:], factors, strict=True):
        kernels.append(kernels[-1] * factor + term)
    return kernels


def layer_shares(terms: Sequence[Array], factors: Sequence[Array]) -> list[Array]:
    """Return ``T⁽ˡ⁾ Π_{k>l} F⁽ᵏ⁾`` for each l, whose sum is the last value of `scalar_recursion`.

    Parameters
    ----------
    terms : sequence of L arrays of one shape, or numbers
        ``T⁽¹⁾, …, T⁽ᴸ⁾``.
    factors : sequence of L - 1 arrays of the same shape, or numbers
        ``F⁽²⁾, …, F⁽ᴸ⁾``.

    Returns
    -------
    list of L arrays of the same shape
        The share of each layer.

    Raises
    ------
    ValueError
        A number of factors other than one below the number of terms.

    Examples
    --------
    >>> from lorantk.theory import recursions
    >>> recursions.layer_shares([1.0, 2.0, 3.0], [0.5, 0.5])
    [0.25, 1.0, 3.0]
    """
    if len(factors) != len(terms) - 1:
        msg = f"factors must be one fewer than the {len(terms)} terms; got {len(factors)}"
        raise ValueError(msg)
    shares, product = [terms[-1]], 1
    for term, factor in zip(reversed(terms[:-1]), reversed(factors), strict=True):
        product = product * factor
        shares.append(term * product)
    return shares[::-1]


@jax.jit
def delta_terms(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"]) -> list[Array]:
    """Return ``[Δ_r⁽¹⁾, …, Δ_r⁽ᴸ⁾]``: `forward_gram` minus ``⟨h, h'⟩``.

    Equation 11's ``Δ_r = hᵀ (s² AᵀA - I) h'`` in a layer with an adapter, 0 in one trained in full.

    Parameters
    ----------
    network : Network
        The network.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.

    Returns
    -------
    list of L arrays (N1, N2)
        ``Δ_r⁽ˡ⁾``.

    Examples
    --------
    >>> from lorantk.theory import networks, recursions
    >>> A, B, x = jnp.array([[1.0, 0.0]]), jnp.zeros((2, 1)), jnp.array([[2.0, 3.0]])
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=0.5, role="lora")
    >>> network = networks.Network((layer,), "identity")
    >>> recursions.delta_terms(network, x, x)[0].tolist()
    [[-12.0]]
    """
    hs1, hs2 = hidden_states(network, x1)[0], hidden_states(network, x2)[0]
    return [forward_gram(layer, h1, h2) - h1 @ h2.T for layer, h1, h2 in zip(network.layers, hs1, hs2, strict=True)]


@jax.jit
def _gap_terms(network, x1, x2):
    states = (backward_states(network, hidden_states(network, x)[1]) for x in (x1, x2))
    grams = [jnp.einsum("icm,jdm->ijcd", d1, d2) for d1, d2 in zip(*states, strict=True)]
    return [D[:, :, None, None] * G for D, G in zip(delta_terms(network, x1, x2), grams, strict=True)]


def gap_terms(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"]) -> list[Array]:
    """Return what each layer adds to ``K_LoRA - K_ff``, exactly and at every width, where ``B = 0``.

    ``Δ_r⁽ˡ⁾(x, x') ⟨δˡ_c(x), δˡ_c'(x')⟩``; ``K_ff`` trains every layer in full. The corrected form of equation 11 of the paper.

    Parameters
    ----------
    network : Network
        The network, with its adapters.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.

    Returns
    -------
    list of L arrays (N1, N2, C, C)
        The terms.

    Raises
    ------
    ValueError
        An adapter with ``B ≠ 0`` whose A trains: the kernel then has a further term.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks, recursions
    >>> from lorantk.theory.adapters import adapt, adapter
    >>> key, x = jax.random.key(0), jnp.ones((1, 4))
    >>> network = networks.init_network((4, 16, 1), key=key)
    >>> lora = adapt(network, adapter(2, alpha=2), roles="lora", key=key)
    >>> K_lora, K_ff = (kernels.ntk(f, x, outputs="full") for f in (lora, network))
    >>> gap = sum(recursions.gap_terms(lora, x, x))
    >>> bool(jnp.allclose(gap, K_lora - K_ff, rtol=1e-4))
    True
    """
    _check_start(network)
    return _gap_terms(network, x1, x2)


def _check_start(network):
    for l, layer in enumerate(network.layers, 1):
        if layer.role == "lora" and bool(jnp.any(layer.B != 0)):
            msg = f"the gap has this form at B = 0 only; got B ≠ 0 in layer {l}"
            raise ValueError(msg)


@jax.jit
def _gap_kernels(network, x1, x2):
    ys1, ys2 = hidden_states(network, x1)[1], hidden_states(network, x2)[1]
    deltas = zip(network.layers, delta_terms(network, x1, x2), strict=True)
    own = (jnp.einsum("ij,kl->ijkl", D, jnp.eye(layer.W.shape[0], dtype=layer.W.dtype)) for layer, D in deltas)
    return _matrix_recursion(network, own, ys1, ys2)


def gap_kernels(network: Network, x1: Float[Array, "N1 n0"], x2: Float[Array, "N2 n0"]) -> list[Array]:
    """Return ``[D¹, …, Dᴸ]``, ``Dˡ = Kˡ_LoRA - Kˡ_ff``, exactly and at every width, at ``B = 0``.

    ``Dˡ = Δ_r⁽ˡ⁾ I + Wˡ diag(σ'(yˡ⁻¹)) Dˡ⁻¹ diag(σ'(y'ˡ⁻¹)) Wˡᵀ``; ``K_ff`` trains every layer in full. ``Dᴸ`` is the sum of
    `gap_terms`. Equation 11 of the paper has ``Δ_r⁽ˡ⁾`` alone. Memory as for `layer_kernels`.

    Parameters
    ----------
    network : Network
        The network, with its adapters.
    x1, x2 : array (N1, n_0) and array (N2, n_0)
        Inputs, one per row.

    Returns
    -------
    list of L arrays (N1, N2, n_l, n_l)
        ``Dˡ``.

    Raises
    ------
    ValueError
        As for `gap_terms`.

    Examples
    --------
    Layer 1 trains in full, so the gap begins in layer 2:

    >>> from lorantk.theory import networks, recursions
    >>> first = networks.Layer(jnp.eye(2))
    >>> A, B, x = jnp.array([[0.5, 0.0]]), jnp.zeros((1, 1)), jnp.array([[2.0, 1.0]])
    >>> second = networks.Layer(jnp.ones((1, 2)), A=A, B=B, scale=1.0, role="lora")
    >>> network = networks.Network((first, second), "relu")
    >>> [D[0, 0].tolist() for D in recursions.gap_kernels(network, x, x)]
    [[[0.0, 0.0], [0.0, 0.0]], [[-4.0]]]
    """
    _check_start(network)
    return _gap_kernels(network, x1, x2)

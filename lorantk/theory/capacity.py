"""How many labels LoRA can memorise with A frozen: the rank of its kernel.

Row p of the gradients of an adapted layer is ``δ_p ⊗ A h_p``, so these rows lie in a space of dimension ``r dim span δ``,
whatever the features. M rows (N inputs with C outputs have M = NC) can be fitted for all labels iff the kernel has rank M.
Ranks are those of matrices of gradients, to rounding; a Gram matrix would lose half of the digits.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lorantk.theory.gradient_rows import Rows

MOST = 16  # rows of which all subsets can be gone through


def _rank(layers):
    """Rank of the gradients ``δ_p ⊗ h_p`` of all layers, side by side."""
    blocks = [np.einsum("pa,pi->pai", D, Phi).reshape(len(D), -1) for D, Phi in layers]
    return int(np.linalg.matrix_rank(np.hstack(blocks))) if blocks else 0


def full_rank(layers: Sequence[Rows]) -> int:
    """Return the rank of the kernel of layers that train in full, ``Σ_l (D_lD_lᵀ) ∘ (Φ_lΦ_lᵀ)``.

    Parameters
    ----------
    layers : sequence of pairs of arrays (M, m_l) and (M, n_l)
        Rows of the layers, see `lorantk.theory.gradient_rows.gradient_rows`.

    Returns
    -------
    int
        The rank; 0 for no layers.

    Examples
    --------
    >>> from lorantk.theory import capacity
    >>> capacity.full_rank([(np.ones((3, 1)), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))])
    2
    """
    return _rank(layers)


def capacity(layers: Sequence[Rows], rank: int, *, full: Sequence[Rows] = ()) -> int:
    """Return the bound on the rank of LoRA's kernel: ``min(rank K, rank K_0 + r Σ_l dim span δˡ)``, at most the number of rows.

    No A exceeds it. Where A has a density, almost every A gives the largest rank that any gives, which often is the bound but
    need not be, see `union_rank`.

    Parameters
    ----------
    layers : sequence of pairs of arrays (M, m_l) and (M, n_l)
        Rows of the adapted layers, see `lorantk.theory.gradient_rows.gradient_rows`.
    rank : int
        ``r ≥ 1``, in all adapted layers.
    full : sequence of pairs of arrays
        Rows of the layers that train in full, whose kernel is ``K_0``.

    Returns
    -------
    int
        The bound.

    Raises
    ------
    ValueError
        A rank below 1.

    Examples
    --------
    An adapted head with one output memorises r labels:

    >>> from lorantk.theory import capacity
    >>> rows = (np.ones((5, 1)), np.eye(5))
    >>> [capacity.capacity([rows], rank) for rank in (1, 3, 8)]
    [1, 3, 5]
    """
    if rank < 1:
        msg = f"rank must be at least 1; got {rank}"
        raise ValueError(msg)
    spans = sum(int(np.linalg.matrix_rank(D)) for D, _ in layers)
    return min(_rank([*layers, *full]), _rank(full) + rank * spans)


def union_rank(D: Float[np.ndarray, "M m"], rank: int) -> int:
    """Return ``min_S |Sᶜ| + r dim span{δ_p : p ∈ S}`` over all sets S of rows: a sharper bound for one adapted layer.

    Rows outside S add at most 1 each. By the matroid union theorem (Nash-Williams 1967; Edmonds 1968) it is the rank itself if
    there is one output, the features of the M inputs are linearly independent, and A has a density.

    Parameters
    ----------
    D : array (M, m)
        ``δ`` of each row, M at most 16.
    rank : int
        ``r ≥ 1``.

    Returns
    -------
    int
        The bound.

    Raises
    ------
    ValueError
        More rows than all subsets can be gone through for.

    Examples
    --------
    Three equal vectors hold r = 2 labels together, and the fourth its own:

    >>> from lorantk.theory import capacity
    >>> D = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> capacity.union_rank(D, 2), capacity.capacity([(D, np.eye(4))], 2)
    (3, 4)
    """
    M = len(D)
    if M > MOST:
        msg = f"expected at most {MOST} rows, as all sets of them are gone through; got {M}"
        raise ValueError(msg)
    sets = itertools.chain.from_iterable(itertools.combinations(range(M), size) for size in range(1, M + 1))
    return min(M, *(M - len(S) + rank * int(np.linalg.matrix_rank(D[list(S)])) for S in sets))


def adapter_rank(layers: Sequence[Rows], As: Sequence[np.ndarray], *, full: Sequence[Rows] = ()) -> int:
    """Return the rank of LoRA's kernel for given A, from its gradients ``δ_p ⊗ A h_p``.

    Parameters
    ----------
    layers : sequence of pairs of arrays (M, m_l) and (M, n_l)
        Rows of the adapted layers.
    As : sequence of arrays (r_l, n_l)
        ``A`` of each layer.
    full : sequence of pairs of arrays
        Rows of the layers that train in full.

    Returns
    -------
    int
        The rank.

    Examples
    --------
    Sign matrices may do worse than others: equal rows leave rank 1.

    >>> from lorantk.theory import capacity
    >>> rows = (np.ones((2, 1)), np.eye(2))
    >>> capacity.adapter_rank([rows], [np.ones((2, 2))]), capacity.adapter_rank([rows], [np.eye(2)])
    (1, 2)
    """
    return _rank([*((D, Phi @ A.T) for (D, Phi), A in zip(layers, As, strict=True)), *full])

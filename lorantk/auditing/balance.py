r"""Write a copy of an adapter with balanced factors: the model stays the same, and κ becomes the least that it can be.

For all factors of one update, ``s²(‖A‖² + ‖B‖²) ≥ 2s‖sBA‖``, with equality for ``B' = U√Σ`` and ``A' = √Σ Vᵀ`` where
``BA = UΣVᵀ``. With α replaced by tα and both factors by ``1/√t`` of theirs, the update stays too, and κ is t times as large.
"""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.formats import read_saved
from lorantk.auditing.judge import ROUNDING
from lorantk.auditing.pairs import Pair, check_shapes
from lorantk.auditing.safe_files import CONFIGURATION, WEIGHTS, find, read_object
from lorantk.auditing.saved import Saved
from lorantk.auditing.tensors import FLOATS


class Balanced(NamedTuple):
    """What `balance_adapter` wrote.

    Attributes
    ----------
    folder
        Where the copy is.
    modules, left
        Number of modules that were balanced, and of those that were left alone because their update is zero.
    before, after
        Largest κ of a balanced module.
    change
        Largest relative change of an update, in the Frobenius norm: the rounding to the stored type.
    factor
        t: what α was multiplied by.
    """

    folder: Path
    modules: int
    left: int
    before: float
    after: float
    change: float
    factor: float

    def text(self) -> str:
        """Return the result in words."""
        left = f", {self.left} without an update left alone" if self.left else ""
        alpha = f", alpha times {self.factor:.4g}" if self.factor != 1 else ""
        return (
            f"{self.folder}: {self.modules} modules balanced{left}{alpha}; largest κ {self.before:.4g} before, "
            f"{self.after:.4g} after; updates changed by at most {self.change:.1g} of their size"
        )


def balanced(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return balanced factors of ``B A``, of the same shapes ``(r, n)`` and ``(m, r)``."""
    Q_B, R_B = np.linalg.qr(B)
    Q_A, R_A = np.linalg.qr(A.T)
    U, S, Vt = np.linalg.svd(R_B @ R_A.T, full_matrices=False)
    root, count = np.sqrt(S), len(S)
    new_A, new_B = np.zeros_like(A), np.zeros_like(B)
    new_A[:count], new_B[:, :count] = root[:, None] * (Vt @ Q_A.T), (Q_B @ U) * root
    return new_A, new_B


def _size(A: np.ndarray, B: np.ndarray) -> float:
    """Return the Frobenius norm of ``B A`` from r × r matrices."""
    return math.sqrt(max(float(np.sum((B.T @ B) * (A @ A.T))), 0.0))


def balances(saved: Saved) -> bool:
    """Say whether an adapter can be balanced."""
    try:
        _supported(saved)
    except AuditError:
        return False
    return True


def _supported(saved: Saved) -> list[Pair]:
    """Return the pairs of an adapter that can be balanced; raise AuditError for any other."""
    where = str(saved.weights)
    if saved.format != "PEFT" or saved.weights.name != WEIGHTS:
        raise AuditError(f"{where}: expected a folder that PEFT saved, with {WEIGHTS}, got {saved.format}")
    if saved.variants or saved.bias:
        reason = (*saved.variants, "lora_bias")[0]
        raise AuditError(f"{where}: expected plain LoRA, whose update depends on B A alone, got: {reason}")
    if saved.init == "mica":
        raise AuditError(f"{where}: expected a B that is trained, got MiCA, which freezes B: lower alpha instead")
    for pair in saved.pairs:
        if not isinstance(pair, Pair):
            raise AuditError(pair.reason)
        if pair.key is not None:
            raise AuditError(f"{where}: expected factors of modules, got stacks of parameters, such as {quoted(pair.key)}")
        check_shapes(pair, saved.given[pair.name].rank)
    return saved.pairs


def balance_adapter(path, output, *, in_order: bool = False, progress=iter) -> Balanced:
    """Write a copy of an adapter that PEFT saved, with balanced factors of the same update in every module.

    Parameters
    ----------
    path
        Its folder.
    output
        The folder to write, which must not exist.
    in_order
        Whether to lower α until κ is at most 1 in every module, and enlarge the factors so that the updates stay.
    progress
        As in `lorantk.audit_adapter`.

    Returns
    -------
    Balanced
        What was written.

    Raises
    ------
    AuditError
        An adapter that cannot be read or balanced, or a folder that exists.
    """
    output, found = Path(output), find(Path(path))
    if found.weights is None:
        raise AuditError(f"{path}: expected saved weights, got a configuration alone")
    saved = read_saved(found)
    pairs = _supported(saved)
    if output.exists() or output.is_symlink():
        raise AuditError(f"{output}: expected a folder that does not exist yet, got one that does")
    factor = min(1.0, 1 / max(_target(saved, pair) for pair in pairs)) if in_order else 1.0
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            made = Path(folder) / "adapter"
            made.mkdir()
            shutil.copyfile(saved.weights, made / WEIGHTS)
            _write_configuration(found.configuration, made / CONFIGURATION, factor)
            with (made / WEIGHTS).open("r+b") as stream:
                results = [_write(saved, pair, stream, factor) for pair in progress(pairs)]
            os.rename(made, output)
    except OSError as error:
        raise AuditError(f"{output}: expected a place to write to, got: {error.strerror}") from error
    done = [result for result in results if result is not None]
    before, after, change = (max((result[i] for result in done), default=0.0) for i in range(3))
    return Balanced(output, len(done), len(results) - len(done), before, after, change, factor)


def _target(saved: Saved, pair: Pair) -> float:
    """Return the least κ of a module's update, enlarged by what rounding can add."""
    A, B = pair.A.matrix(), pair.B.matrix()
    R_A, R_B = np.linalg.qr(A.T, mode="r"), np.linalg.qr(B, mode="r")
    rounding = max(ROUNDING[factor.tensor.dtype] for factor in (pair.A, pair.B))
    return max(2 * saved.given[pair.name].scale ** 2 * float(np.linalg.norm(R_B @ R_A.T, 2)) * (1 + 2 * rounding), 1e-300)


def _write_configuration(source: Path, target: Path, factor: float) -> None:
    if factor == 1:
        shutil.copyfile(source, target)
        return
    content = read_object(source)
    content["lora_alpha"] = content.get("lora_alpha", 8) * factor
    if content.get("alpha_pattern"):
        content["alpha_pattern"] = {key: value * factor for key, value in content["alpha_pattern"].items()}
    target.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write(saved: Saved, pair: Pair, stream, factor: float) -> tuple[float, float, float] | None:
    """Write balanced factors over a module's own; return κ before and after and the relative change, or None if BA = 0."""
    A, B = pair.A.matrix(), pair.B.matrix()
    size, s2 = _size(A, B), saved.given[pair.name].scale ** 2
    if size == 0:
        return None
    new = [values / math.sqrt(factor) for values in balanced(A, B)]
    for place, (one, values) in enumerate(zip((pair.A, pair.B), new, strict=True)):
        if one.tensor.dtype not in ("F64", "F32", "F16"):
            import ml_dtypes  # noqa: F401  registers the names of its types with NumPy
        with np.errstate(over="ignore"):
            stored = values.astype(np.dtype(FLOATS[one.tensor.dtype]).newbyteorder("<"))
        new[place] = stored.astype(np.float64)
        if not np.isfinite(new[place]).all():
            raise AuditError(
                f"{one.path}: tensor {quoted(one.tensor.name)}: expected balanced weights that fit {one.tensor.dtype}"
            )
        stream.seek(one.tensor.start)
        stream.write(stored.tobytes())
    before, after = (
        scale * sum(np.linalg.norm(X, 2) ** 2 for X in pair_) for scale, pair_ in ((s2, (A, B)), (s2 * factor**2, new))
    )
    joined_A, joined_B = np.vstack([factor * new[0], -A]), np.hstack([new[1], B])
    return float(before), float(after), _size(joined_A, joined_B) / size

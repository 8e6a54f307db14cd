"""Read adapters of mlx-lm: `adapters.safetensors` with the scale s itself in `adapter_config.json`.

By mlx_lm/tuner/lora.py and tuner/utils.py of mlx-lm 0.32.2: ``lora_a`` is ``(n, r)`` and ``lora_b`` is ``(r, m)``; in experts
they are ``(E, r, n)`` and ``(E, m, r)``. The update is ``scale · (lora_a lora_b)ᵀ``; an ``alpha`` is not read. ``lora_a`` starts
uniform between ``±1/√n`` and ``lora_b`` at zero.
"""

import re
from pathlib import Path

from lorantk.auditing.configuration import VARIANTS, Settings, check_alpha, check_whole
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.pairs import Factor
from lorantk.auditing.report import Scales
from lorantk.auditing.saved import Saved, collect, experts, finding, other_methods, signs, unknown
from lorantk.auditing.tensors import Tensor

NAMES = re.compile(r"(?P<module>.+)\.lora_(?P<factor>[ab])")


def is_mlx(header: dict[str, Tensor], content: dict | None) -> bool:
    """Say whether the names, or the configuration, are those of mlx-lm."""
    return any(NAMES.fullmatch(name) for name in header) or (content is not None and "lora_parameters" in content)


def _factor(tensor: Tensor, path: Path) -> Factor:
    return Factor(tensor, path, transposed=len(tensor.shape) == 2)


def read_mlx(weights: Path, header: dict[str, Tensor], content: dict | None, where: str) -> Saved:
    """Return the adapter in a file of mlx-lm, given its configuration as an object.

    Raises
    ------
    AuditError
        A file without factors, or a configuration without rank and scale.
    """
    if content is None:
        raise AuditError(f"{weights}: expected an adapter_config.json with mlx-lm's scale beside it, got none")
    kind = content.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise AuditError(f"{where}: expected fine_tune_type 'lora', the method that the theorems cover, got {quoted(kind)}")
    parameters = content.get("lora_parameters")
    if not isinstance(parameters, dict):
        raise AuditError(f"{where}: expected an object as 'lora_parameters', got {quoted(parameters)}")
    rank = check_whole(parameters.get("rank"), f"{where}: lora_parameters: 'rank'")
    scale = check_alpha(parameters.get("scale"), f"{where}: lora_parameters: 'scale'")
    found, others = other_methods(*collect(header, weights, NAMES, {"a": "A", "b": "B"}, make=_factor), weights)
    pairs = [one for pair in found for one in experts(pair)]
    findings = []
    if (alpha := parameters.get("alpha")) is not None:
        text = f"lora_parameters has alpha {quoted(alpha)} beside scale {scale:g}: mlx-lm reads the scale alone"
        findings.append(finding("alpha-conflict", text, "remove alpha", (), "note"))
    magnitudes = [tensor.name for tensor in others if tensor.name.endswith(".m")]
    if (kind == "dora") != bool(magnitudes):
        text = f"fine_tune_type is {kind!r} and the file has {len(magnitudes)} magnitudes (MODULE.m)"
        findings.append(finding("dora-incomplete", text, "load the adapter with the type it was trained with", magnitudes))
    given = {pair.name: Settings(rank, scale * rank, scale) for pair in pairs}
    findings += signs(given)
    variants = (VARIANTS["use_dora"],) if kind == "dora" or magnitudes else ()
    others = [tensor for tensor in others if tensor.name not in magnitudes]
    findings += unknown(others)
    scales = {name: Scales(mlx=scale) for name in given}
    return Saved("MLX", weights, None, pairs, given, "true", others, findings, scales, variants)

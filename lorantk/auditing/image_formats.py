"""Read the LoRA files of image models: kohya's, those of diffusers, and A and B without a configuration.

They have no `adapter_config.json`. The rank is that of the shapes, and α comes, in this order, from a tensor ``MODULE.alpha``,
from PEFT's configuration that diffusers puts into the header, from an entry ``alpha`` of the header; otherwise α = r, so s = 1.
sd-scripts (networks/lora.py, commit 48d368f) and diffusers (utils/peft_utils.py, version 0.42.1) do the same, except that
sd-scripts takes α = 0 for α = r, and most pipelines of diffusers do not look for ``alpha`` in the header.
"""

import re
from collections import Counter
from pathlib import Path

from lorantk.auditing.configuration import REMARKS, VARIANTS, check_alpha, parse_configuration, settings
from lorantk.auditing.consistency import options
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.pairs import BIAS, EMBEDDING, LINEAR, PREFIX, Pair, pair_tensors
from lorantk.auditing.report import Refused, Scales
from lorantk.auditing.safe_files import parse_object
from lorantk.auditing.saved import Saved, by_shape, collect, finding, other_methods, scalar, signs, unknown
from lorantk.auditing.tensors import Tensor

# kohya: lora_unet_x_to_q.lora_down.weight; diffusers before PEFT: unet.x.processor.to_q_lora.down.weight, to_q.lora.down.weight;
# XLabs, whose module keeps its number: x.processor.qkv_lora1.down.weight
KOHYA = re.compile(r"(?P<module>.+?)(\.lora_|[._]lora\.|\.lora_linear_layer\.|(?<=_lora[0-9])\.)(?P<factor>down|up)\.weight")
ALPHA = re.compile(r"(?P<module>.+)\.alpha")
MAGNITUDE = re.compile(r"\.(dora_scale|lora_magnitude_vector)(\.|$)")
HEADER = "lora_adapter_metadata"  # diffusers' entry of the header
ALPHAS = ("alpha", "lora_alpha", "ss_network_alpha")


def is_kohya(header: dict[str, Tensor]) -> bool:
    """Say whether a file names its factors down and up."""
    return any(KOHYA.fullmatch(name) for name in header)


def read_image_format(weights: Path, header: dict[str, Tensor], texts: dict[str, str]) -> Saved:
    """Return the adapter in a file without a configuration of PEFT.

    Raises
    ------
    AuditError
        A file without factors, or an α that is no number.
    """
    if kohya := is_kohya(header):
        pairs, others = collect(header, weights, KOHYA, {"down": "A", "up": "B"})
        word = "kohya" if any(name.startswith("lora_") for name in header) else "diffusers"
    else:
        if not any(LINEAR.fullmatch(name) or EMBEDDING.fullmatch(name) for name in header):
            other_methods([], list(header.values()), weights)
        alphas = [name for name in header if ALPHA.fullmatch(name)]
        pairs, names = pair_tensors({name: tensor for name, tensor in header.items() if name not in alphas}, weights)
        others, word = [header[name] for name in [*names, *alphas]], "A and B without a configuration"
        if HEADER in texts:
            word = "diffusers"
    pairs, others = other_methods(pairs, others, weights)
    own = {}
    for tensor in others:
        if match := ALPHA.fullmatch(tensor.name):
            own[match["module"].removeprefix(PREFIX)] = scalar(tensor, weights)
    biases = [tensor for tensor in others if BIAS.fullmatch(tensor.name)]
    others = [tensor for tensor in others if not ALPHA.fullmatch(tensor.name) and tensor not in biases]
    configured = _configured(texts, weights)
    general = _general(texts, weights)
    bias = bool(biases) or any(configuration.bias for configuration in configured.values())
    given, scales, sources = {}, {}, Counter()
    for pair in pairs:
        if isinstance(pair, Refused):
            continue
        part, _, rest = pair.name.partition(".")
        if pair.name in own:
            alpha, source = own[pair.name], "tensors"
            if kohya and alpha == 0:
                alpha = None
        elif part in configured:
            given[pair.name] = settings(configured[part], rest)
            scales[pair.name] = Scales(diffusers=given[pair.name].scale)
            sources["configuration"] += 1
            continue
        else:
            alpha, source = general, "nowhere" if general is None else "header"
        given[pair.name] = by_shape(pair, alpha)
        scales[pair.name] = Scales(diffusers=by_shape(pair, own.get(pair.name)).scale)
        sources[source] += 1
    return Saved(
        word,
        weights,
        None,
        pairs,
        given,
        "true" if kohya else "unknown",
        others,
        [
            *_findings(pairs, given, own, general, sources, kohya),
            *signs(given),
            *unknown([tensor for tensor in others if not MAGNITUDE.search(tensor.name)]),
            *[entry for configuration in configured.values() for entry in options(configuration)],
        ],
        scales,
        variants=_variants(others, configured),
        remarks=(REMARKS["lora_bias"],) if bias else (),
        bias=bias,
    )


def _variants(others: list[Tensor], configured: dict) -> tuple[str, ...]:
    dora = any(MAGNITUDE.search(tensor.name) for tensor in others)
    found = {VARIANTS["use_dora"]: None} if dora else {}
    for configuration in configured.values():
        found |= dict.fromkeys(configuration.variants)
    return tuple(found)


def _configured(texts: dict[str, str], path: Path) -> dict:
    """Return the configurations that diffusers puts into the header, one for each part of the pipeline."""
    if HEADER not in texts:
        return {}
    where, parts = f"{path}: header: {HEADER}", {}
    for key, value in parse_object(texts[HEADER].encode(), where).items():
        part, _, option = key.partition(".")
        parts.setdefault(part, {"peft_type": "LORA"})[option] = value
    return {part: parse_configuration(content, f"{where}: {part}") for part, content in parts.items()}


def _general(texts: dict[str, str], path: Path) -> float | None:
    """Return the α of the header, or None."""
    for key in ALPHAS:
        if key in texts:
            try:
                return check_alpha(float(texts[key]), f"{path}: header: {key!r}")
            except ValueError as error:
                if isinstance(error, AuditError):
                    raise
                if texts[key] in ("None", "null", "Dynamic"):
                    continue
                raise AuditError(f"{path}: header: {key!r}: expected a number, got {quoted(texts[key])}") from error
    return None


def _findings(pairs: list[Pair | Refused], given: dict, own: dict, general, sources: Counter, kohya: bool) -> list:
    found = []
    names = [pair.name for pair in pairs if pair.name in given]
    ranks = Counter(given[name].rank for name in names)
    if sources["nowhere"]:
        text = (
            f"alpha is declared nowhere for {sources['nowhere']} of {len(names)} modules: loaders take alpha = r there, so s = 1"
        )
        if len(ranks) > 1:
            first = given[names[0]].rank if names else 0
            scales = sorted({first / rank for rank in ranks})
            text += (
                f". Ranks differ ({', '.join(map(str, sorted(ranks)))}): a loader that takes alpha from the first module, as "
                f"diffusers 0.37 does, applies s between {scales[0]:.3g} and {scales[-1]:.3g}"
            )
        advice = "store alpha beside the factors, or load with a configuration that states it"
        found.append(finding("alpha-not-declared", text, advice, names, "note"))
    if sources["header"]:
        text = f"alpha = {general:g} stands only in the file's header: loaders that do not look there apply s = 1"
        found.append(
            finding("alpha-in-header", text, "store MODULE.alpha, or an adapter_config.json beside the file", (), "note")
        )
    other = [name for name in names if name in own and general is not None and own[name] != general]
    if other:
        text = f"the header says alpha = {general:g}, the tensors of {len(other)} modules say otherwise: they count"
        found.append(finding("alpha-conflict", text, "find out with which alpha the adapter was trained", other))
    lost = sorted(own.keys() - set(names))
    if lost:
        text = f"{len(lost)} tensors called MODULE.alpha belong to no module with factors"
        found.append(finding("tensors-unused", text, "check that the file was saved whole", lost))
    zero = [name for name in names if own.get(name) == 0]
    if kohya and zero:
        text = f"alpha = 0 in {len(zero)} modules: kohya's loader takes it for alpha = r, so s = 1; others apply 0"
        found.append(finding("alpha-zero", text, "store the alpha that is meant", zero))
    return found

"""Recognise the format of a saved adapter, and read it: PEFT's, kohya's, that of diffusers, MLX's, GGUF."""

import re
from pathlib import Path

from lorantk.auditing import consistency
from lorantk.auditing.configuration import Configuration, chosen, hits, parse_configuration
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.experts import unstacked
from lorantk.auditing.gguf import read_gguf
from lorantk.auditing.image_formats import ALPHA, is_kohya, read_image_format
from lorantk.auditing.mlx import is_mlx, read_mlx
from lorantk.auditing.pairs import BIAS, PREFIX, Pair, pair_tensors, program
from lorantk.auditing.report import Refused
from lorantk.auditing.runtimes import runtimes
from lorantk.auditing.safe_files import Found, adapters_in, read_object
from lorantk.auditing.saved import Saved, finding, method, scalar
from lorantk.auditing.starts import check_init
from lorantk.auditing.tensors import Tensor, read_file, read_header, size

SHARDS_LIMIT = 10_000


def read_shards(index: Path) -> tuple[dict[str, Tensor], dict[str, Path]]:
    """Return the tensors of several files and the file of each, given the index that lists them.

    Raises
    ------
    AuditError
        An index that is malformed or names files elsewhere, or a tensor that its file lacks.
    """
    listed = read_object(index).get("weight_map")
    if not (isinstance(listed, dict) and all(isinstance(file, str) for file in listed.values())):
        raise AuditError(f"{index}: expected a weight_map from tensors to files, got {quoted(listed)}")
    files = sorted(set(listed.values()))
    if len(files) > SHARDS_LIMIT or any("/" in file or "\\" in file or not file.endswith(".safetensors") for file in files):
        raise AuditError(f"{index}: expected at most {SHARDS_LIMIT} .safetensors files beside the index, got {quoted(files)}")
    shards = {file: read_header(index.parent / file, index.parent) for file in files}
    for name, file in listed.items():
        if name not in shards[file]:
            raise AuditError(f"{index}: expected tensor {quoted(name)} in {file}, got none")
    header = {name: shards[file][name] for name, file in listed.items()}
    return header, {name: index.parent / file for name, file in listed.items()}


def read_saved(found: Found) -> Saved:
    """Return the adapter in the files that were found.

    Raises
    ------
    AuditError
        Any error of the format's reader; the message names the file, and the method if it is not LoRA.
    """
    weights, folder = found.weights, found.weights.parent
    if weights.suffix == ".gguf":
        return read_gguf(weights)
    content = None if found.configuration is None else read_object(found.configuration)
    places, texts = None, {}
    if weights.name.endswith(".json"):
        header, places = read_shards(weights)
    else:
        header, texts = read_file(weights, folder)
    where = str(found.configuration)
    if is_mlx(header, content):
        return read_mlx(weights, header, content, where)
    configuration = None if content is None else _configuration(content, where, folder, header)
    if is_kohya(header) or configuration is None:
        saved = read_image_format(weights, header, texts)
        return saved if configuration is None else _with_unused(saved, configuration)
    saved = _read_peft(configuration, weights, header, places, texts)
    return saved._replace(findings=[*saved.findings, *consistency.folder(folder, weights.name)])


def _configuration(content: dict, where: str, folder: Path, header: dict[str, Tensor]) -> Configuration:
    """Return PEFT's configuration; if it is of another method, the error names that, and the adapters in the folders below."""
    try:
        return parse_configuration(content, where)
    except AuditError as error:
        if "peft_type" not in content and (word := method(header) or program(header)):
            raise AuditError(f"{where}: expected PEFT's configuration and factors, got {word}") from error
        others = adapters_in(folder) if content.get("peft_type") != "LORA" else []
        if not others:
            raise
        raise AuditError(f"{error}; adapters that can be audited lie in {', '.join(others[:5])}") from error


def _with_unused(saved: Saved, configuration: Configuration) -> Saved:
    """Add to a file of another format what there is to say about a configuration of PEFT beside it."""
    other = [name for name, own in saved.given.items() if own.scale != configuration.alpha / own.rank]
    text = f"the tensors have {saved.format}'s names, which PEFT does not load; the adapter_config.json beside them is not used"
    if other:
        text += f", and declares alpha = {configuration.alpha:g} where the file has {saved.given[other[0]].alpha:g}"
    advice = "convert the file to PEFT's names, or remove the configuration"
    return saved._replace(findings=[*saved.findings, finding("names-do-not-load", text, advice, other)])


def _read_peft(
    configuration: Configuration, weights: Path, header: dict[str, Tensor], places: dict[str, Path] | None, texts: dict[str, str]
) -> Saved:
    if (word := method(header)) is not None:
        raise AuditError(f"{weights}: expected the factors A and B of LoRA, got {word}")
    pairs, names = pair_tensors(header, weights, places)
    pairs = unstacked(configuration, [_with_blocks(pair, configuration) for pair in pairs])
    whole = [pair for pair in pairs if isinstance(pair, Pair)]
    asked = _asked(whole)
    ranks = {name: hits(configuration.ranks, asks) for name, asks in asked.items()} if configuration.ranks else {}
    alphas = {name: hits(configuration.alphas, asks) for name, asks in asked.items()} if configuration.alphas else {}
    given = {pair.name: chosen(configuration, pair.name, ranks.get(pair.name), alphas.get(pair.name)) for pair in whole}
    magnitudes = [name for name in header if "lora_magnitude_vector" in name]
    own = {name: ALPHA.fullmatch(name) for name in names}
    own = {
        match["module"].removeprefix(PREFIX): scalar(header[name], places[name] if places else weights)
        for name, match in own.items()
        if match
    }
    biases = [name for name in names if BIAS.fullmatch(name)]
    apart = {*magnitudes, *biases}
    others = [header[name] for name in names if name not in apart and not ALPHA.fullmatch(name)]
    others = [tensor for tensor in others if not re.search(r"lora_(diag|velora|monteclora)", tensor.name)]
    total = sum(size(tensor.dtype, tensor.shape) for tensor in header.values())
    keys = [factor.tensor.name for pair in whole for factor in (pair.A, pair.B)]
    findings = [
        *consistency.declared(configuration, given),
        *consistency.conflicts(configuration, given, own, texts),
        *consistency.unmatched(configuration, [*{asked[pair.name]: None for pair in whole if not pair.key}], ranks, alphas),
        *consistency.names_that_do_not_load(keys),
        *consistency.options(configuration),
        *consistency.start(configuration),
        *consistency.experts(configuration, [pair.name for pair in whole if pair.kind == "expert"]),
        *consistency.biases(configuration, biases),
        *consistency.beside(configuration, others, magnitudes, total),
    ]
    plain = all(re.search(r"base_layer\.weight|norm", tensor.name) for tensor in others) and not magnitudes
    return Saved(
        "PEFT",
        weights,
        configuration,
        pairs,
        given,
        check_init(configuration.init, configuration.where),
        others,
        findings,
        {name: runtimes(configuration, settings, plain=plain) for name, settings in given.items()},
        configuration.variants,
        configuration.remarks,
        configuration.rslora,
        configuration.bias,
    )


def _asked(pairs: list[Pair]) -> dict[str, str]:
    """Return the name by which patterns and targets select each module: for the out_proj of attention, that of the attention."""
    names = {pair.name for pair in pairs}
    owners = {name: name.removesuffix(".base_layer.out_proj") for name in names}
    return {pair.name: pair.key or (owner if (owner := owners[pair.name]) in names else pair.name) for pair in pairs}


def _with_blocks(pair: Pair | Refused, configuration: Configuration) -> Pair | Refused:
    """Return a pair of BD-LoRA with its number of diagonal blocks, by the rules of peft 0.21 (tuners/lora/variants.py)."""
    rows, columns, count = configuration.blocks
    if count == 1 or isinstance(pair, Refused):
        return pair
    last = pair.name.rpartition(".")[2]
    if any(part in last for part in rows):
        return pair._replace(A=pair.A._replace(blocks=count))
    return pair._replace(B=pair.B._replace(blocks=count)) if any(part in last for part in columns) else pair

r"""BERT as a function of its linear maps [Devlin et al. 2019].

Parameters are a flat dictionary from the checkpoint's own names to arrays, such as
``"encoder.layer.0.attention.self.query.weight"`` of shape (outputs, inputs). All of them are used through ``linear(name, v)``,
which is `plain` for the model itself, so that adapters, probes and kernels (`lorantk.theory.linear_maps`) are put in from
outside. There is no dropout.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Array, Bool, Float, Int
from tokenizers import Tokenizer

from lorantk.experiments.language import packages
from lorantk.experiments.language.packages import LanguageError

HEAD = "classifier"
HEAD_DEVIATION = 0.02  # of the weights of a fresh head; transformers' ``initializer_range``
IN_LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
# What this forward pass computes; a model that says otherwise is refused.
ASSUMED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}

# Of config.json, in the order in which `read` takes them.
SIZES = (
    "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size",
    "vocab_size", "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
SAVE = "save the model and its tokenizer with Transformers"


class Architecture(NamedTuple):
    """What the forward pass needs besides the arrays.

    Attributes
    ----------
    layers, heads, width
        Numbers of layers and of attention heads, and the size of a token's vector.
    epsilon
        The layer norms' ε.
    positions
        The largest number of tokens.
    """

    layers: int
    heads: int
    width: int
    epsilon: float
    positions: int


class Bert(NamedTuple):
    """A pretrained model.

    Attributes
    ----------
    architecture
        Its sizes.
    parameters
        Arrays by name, without a classifier.
    tokenizer
        Turns text into token ids.
    """

    architecture: Architecture
    parameters: dict[str, Float[np.ndarray, "..."]]
    tokenizer: Tokenizer


def linear_names(layers: int) -> tuple[str, ...]:
    """Return the names of all linear maps except the classifier, from the input to the output."""
    return (*(f"encoder.layer.{l}.{name}" for l in range(layers) for name in IN_LAYER), "pooler.dense")


def read(folder: Path | None = None) -> Bert:
    """Read a pretrained BERT.

    Parameters
    ----------
    folder
        With ``config.json``, ``model.safetensors`` and ``tokenizer.json``, as transformers saves them; the package's MiniLM if
        None. A saved classifier is left out.

    Raises
    ------
    LanguageError
        A file is missing or unreadable, the model is not a BERT that `classify` computes, or arrays are missing or have
        unexpected shapes.
    """
    if folder is None:
        files = {name: packages.model_file(name) for name in packages.FILES}
    else:
        files = {}
        for name in packages.FILES:
            if not (folder / name).is_file():
                raise LanguageError(f"{folder}: expected a folder with {name}, got none; {SAVE}")
            files[name] = (folder / name).read_bytes()
    where = "the package" if folder is None else folder
    try:
        config = json.loads(files["config.json"])
        arrays = safetensors.numpy.load(files["model.safetensors"])
        tokenizer = Tokenizer.from_buffer(files["tokenizer.json"])
    except Exception as error:  # tokenizers raises nothing narrower
        got = " ".join(str(error).split())[:200]
        raise LanguageError(f"{where}: expected JSON, safetensors and a tokenizer, got {got}; {SAVE}") from error
    if not isinstance(config, dict):
        raise LanguageError(f"{where}: expected an object in config.json, got {str(config)[:40]}; {SAVE}")
    for key, value in ASSUMED.items():
        if config.get(key, value) != value:
            raise LanguageError(f"{where}: expected {key} {value!r}, got {config[key]!r}; only such models can be computed")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    parameters = {name.removeprefix("bert."): array for name, array in arrays.items()}
    parameters = {name: a for name, a in parameters.items() if not name.startswith((HEAD, "cls.")) and "position_ids" not in name}
    sizes = {key: config.get(key) for key in SIZES}
    if wrong := [key for key, size in sizes.items() if type(size) is not int or size < 1]:
        raise LanguageError(f"{where}: expected a whole number {wrong[0]} in config.json, got {sizes[wrong[0]]!r}; {SAVE}")
    layers, heads, width, inner, words, positions, types = sizes.values()
    if width % heads:
        raise LanguageError(f"{where}: expected heads of one size, got {heads} of a width of {width}; {SAVE}")
    if (known := tokenizer.get_vocab_size()) > words:
        raise LanguageError(f"{where}: expected a tokenizer of at most {words} tokens, got {known}; use that of the model")
    epsilon = config.get("layer_norm_eps")
    if not isinstance(epsilon, float):
        raise LanguageError(f"{where}: expected a number layer_norm_eps in config.json, got {epsilon!r}; {SAVE}")
    shapes = shapes_by_name(layers, width, inner, words, positions, types)
    for name, shape in shapes.items():
        if name not in parameters or parameters[name].shape != shape:
            got = parameters[name].shape if name in parameters else "none"
            raise LanguageError(f"{where}: expected an array {name} of shape {shape}, got {got}; {SAVE}")
    architecture = Architecture(layers, heads, width, epsilon, positions)
    return Bert(architecture, {name: parameters[name].astype(np.float32) for name in shapes}, tokenizer)


def shapes_by_name(layers: int, width: int, inner: int, words: int, positions: int, types: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a BERT of these sizes, by name."""
    sizes = {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    maps = {name: sizes.get(name.split(".", 3)[-1], (width, width)) for name in linear_names(layers)}
    tables = {"word": words, "position": positions, "token_type": types}
    norms = ["embeddings.LayerNorm"]
    norms += [f"encoder.layer.{l}.{place}.LayerNorm" for l in range(layers) for place in ("attention.output", "output")]
    return (
        {f"embeddings.{name}_embeddings.weight": (size, width) for name, size in tables.items()}
        | {f"{name}.weight": shape for name, shape in maps.items()}
        | {f"{name}.bias": shape[:1] for name, shape in maps.items()}
        | {f"{name}.{part}": (width,) for name in norms for part in ("weight", "bias")}
    )


def fresh_head(architecture: Architecture, *, classes: int, key) -> dict[str, Float[Array, "..."]]:
    """Draw a classifier as transformers does: weights ``N(0, 0.02²)``, bias 0; arrays by name."""
    weight = HEAD_DEVIATION * jax.random.normal(key, (classes, architecture.width), jnp.float32)
    return {f"{HEAD}.weight": weight, f"{HEAD}.bias": jnp.zeros(classes, jnp.float32)}


def plain(parameters: dict, name: str, v: Array) -> Float[Array, "... m"]:
    """Return ``W v + b`` for the linear map of that name, ``g ∘ v + b`` for a layer norm, the rows ``v`` of a table."""
    weight = parameters[f"{name}.weight"]
    if name.endswith("embeddings"):
        return weight[v]
    bias = parameters[f"{name}.bias"].reshape((1,) * (v.ndim - 1) + (-1,))
    if name.endswith("LayerNorm"):
        return weight.reshape(bias.shape) * v + bias
    return v @ weight.T + bias


def _normalise(linear, name, x, epsilon):
    x = x - x.mean(axis=-1, keepdims=True)
    return linear(name, x * jax.lax.rsqrt((x**2).mean(axis=-1, keepdims=True) + epsilon))


def _embed(linear, ids, epsilon):
    places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    entries = {"word": ids, "position": places, "token_type": jnp.zeros_like(ids)}
    h = sum(linear(f"embeddings.{name}_embeddings", v) for name, v in entries.items())
    return _normalise(linear, "embeddings.LayerNorm", h, epsilon)


def _layer(linear, architecture, l, h, asking, mask):
    """One layer's output at the tokens whose vectors are `asking`, which attend to the tokens `h`."""
    at = f"encoder.layer.{l}."

    def norm(name, x):
        return _normalise(linear, f"{at}{name}.LayerNorm", x, architecture.epsilon)

    def heads(name, x):
        return linear(f"{at}attention.self.{name}", x).reshape(*x.shape[:2], architecture.heads, -1)

    query, key, value = heads("query", asking), heads("key", h), heads("value", h)
    scores = jnp.einsum("nshd,nthd->nhst", query, key) / np.sqrt(query.shape[-1]).astype(h.dtype)
    scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(h.dtype).min)
    mixed = jnp.einsum("nhst,nthd->nshd", jax.nn.softmax(scores), value).reshape(asking.shape)
    x = norm("attention.output", asking + linear(f"{at}attention.output.dense", mixed))
    inner = jax.nn.gelu(linear(f"{at}intermediate.dense", x), approximate=False)
    return norm("output", x + linear(f"{at}output.dense", inner))


def encode(
    linear: Callable, architecture: Architecture, ids: Int[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T width"]:
    """Return the hidden states of the last layer.

    Parameters
    ----------
    linear
        ``linear(name, v)``, the map of that name; `plain` with the parameters is the model itself.
    architecture
        The model's sizes.
    ids, mask
        Token ids, and which tokens are part of the sentence; the rest is padding.
    """
    h = _embed(linear, ids, architecture.epsilon)
    for l in range(architecture.layers):
        h = _layer(linear, architecture, l, h, h, mask)
    return h


def classify(
    linear: Callable, architecture: Architecture, ids: Int[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N C"]:
    """Return the logits: a classifier on ``tanh(pooler)`` of the first token.

    Arguments are those of `encode`. The last layer computes only the first token, as nothing reads the others.
    """
    h = _embed(linear, ids, architecture.epsilon)
    for l in range(architecture.layers):
        asking = h if l < architecture.layers - 1 else h[:, :1]
        h = _layer(linear, architecture, l, h, asking, mask)
    return linear(HEAD, jnp.tanh(linear("pooler.dense", h[:, 0])))

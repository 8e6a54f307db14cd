"""Kernels of a BERT that is fine-tuned: in full, or through the adapters of `lorantk.experiments.language.finetune`.

The output is one number for each sentence, the difference of the logits of the two classes, on which alone the loss depends.
"""

from collections.abc import Mapping
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from sklearn.linear_model import LogisticRegression

from lorantk.experiments.language.bert import HEAD, Architecture, classify
from lorantk.experiments.language.finetune import linear, padded
from lorantk.experiments.language.text import Tokens
from lorantk.theory import features, linear_maps
from lorantk.theory.linear_maps import Factors


@cache
def margin(architecture: Architecture):
    """Return the model as `lorantk.theory.linear_maps` takes it: ``f(linear, x)`` of shape (N, 1)."""

    def f(linear, x):
        mask = jnp.arange(x["ids"].shape[1])[None] < x["lengths"][:, None]
        outputs = classify(linear, architecture, x["ids"], mask)
        return outputs[:, 1:] - outputs[:, :1]

    return f


def factors(architecture: Architecture, parameters: dict, tokens: Tokens, names=None) -> dict[str, Factors]:
    """Return the factors of the gradients of every map, or of those named."""
    ids, lengths = padded(tokens)
    x = {"ids": jnp.asarray(ids), "lengths": jnp.asarray(lengths)}
    return linear_maps.factors(margin(architecture), linear, parameters, x, names)


def everything(names) -> dict[str, tuple[str, ...]]:
    """Return what trains of each map when all parameters do, for `lorantk.theory.linear_maps.full_kernel`."""
    kinds = {"embeddings": ("table",), "LayerNorm": ("gain", "bias")}
    return {name: next((kinds[end] for end in kinds if name.endswith(end)), ("matrix", "bias")) for name in names}


def adapter_kernels(found: dict[str, Factors], parameters: Mapping[str, Array]) -> dict[str, Float[np.ndarray, "N N"]]:
    """Return the parts of LoRA's kernel, of all adapters together: ``"B"`` and ``"A"``, the gradients by these factors."""
    parts = {"B": 0.0, "A": 0.0}
    for name, one in found.items():
        if f"{name}.A" not in parameters:
            continue
        A, B = parameters[f"{name}.A"], parameters[f"{name}.B"]
        G = features.lora_features(one, A, parameters["scale"], B)
        for part, rows in (("B", G[:, : B.size]), ("A", G[:, B.size :])):
            parts[part] = parts[part] + np.asarray(rows @ rows.T)
    return parts


def head_kernel(found: dict[str, Factors]) -> Float[np.ndarray, "N N"]:
    """Return the part of a classifier that trains in full, its bias included."""
    return np.asarray(linear_maps.full_kernel(found, {HEAD: ("matrix", "bias")}))


def fitted_head(vectors: Float[np.ndarray, "N width"], labels: Int[np.ndarray, " N"]) -> dict[str, Float[Array, "..."]]:
    """Return the classifier that logistic regression fits to what enters it, arrays by name."""
    fit = LogisticRegression(max_iter=1000).fit(np.asarray(vectors, np.float64), labels)
    weight, bias = np.stack([-fit.coef_[0], fit.coef_[0]]) / 2, np.array([-1, 1]) * fit.intercept_ / 2
    return {f"{HEAD}.weight": jnp.asarray(weight, jnp.float32), f"{HEAD}.bias": jnp.asarray(bias, jnp.float32)}

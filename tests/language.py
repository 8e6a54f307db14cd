"""What transformers and PEFT computed for a BERT, beside the package's own computation."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from lorantk.experiments.language import bert, finetune

REFERENCE = Path(__file__).parents[1] / "expected/bert"


def relative(found, expected):
    """The largest difference, over the largest entry."""
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def _train(architecture, trained, frozen, rate, ids, lengths, labels):
    memory = finetune.AdamW.init(trained)
    trained = {name: jnp.array(array) for name, array in trained.items()}
    losses = []
    for _ in range(10):
        trained, memory, loss = finetune.step(architecture, trained, frozen, memory, rate, ids, lengths, labels)
        losses.append(float(loss))
    return losses, trained


def hidden_difference(network, reference):
    """The relative difference of the hidden states of a model from the arrays in a folder."""
    kept = safetensors.numpy.load_file(reference / "reference.safetensors")
    mask = np.arange(kept["ids"].shape[1]) < kept["lengths"][:, None]
    linear = partial(bert.plain, {name: jnp.asarray(array) for name, array in network.parameters.items()})
    hidden = bert.encode(linear, network.architecture, jnp.asarray(kept["ids"]), jnp.asarray(mask))
    return relative(np.asarray(hidden)[mask], kept["hidden"][mask])


def differences(model, reference):
    """Relative differences by name: a model in a folder, against the arrays and losses in another."""
    network = bert.read(model)
    architecture, parameters = network.architecture, {k: jnp.asarray(v) for k, v in network.parameters.items()}
    kept = safetensors.numpy.load_file(reference / "reference.safetensors")
    about = json.loads((reference / "reference.json").read_text())
    ids, lengths, labels = jnp.asarray(kept["ids"]), jnp.asarray(kept["lengths"]), jnp.asarray(about["labels"])
    head = {f"classifier.{part}": jnp.asarray(kept[f"head.{part}"]) for part in ("weight", "bias")}

    def part(prefix):
        return {name.removeprefix(prefix): array for name, array in kept.items() if name.startswith(prefix)}

    def loss(trained, frozen):
        return finetune.cross_entropy(finetune.logits(architecture, frozen | trained, ids, lengths), labels).mean()

    def worst(found, expected):
        # All scores of a token move together with the key's bias, so that its gradient is 0: what is computed is rounding.
        expected = {name: array for name, array in expected.items() if not name.endswith("key.bias")}
        assert expected.keys() <= found.keys()
        return max(relative(found[name], array) for name, array in expected.items())

    whole = parameters | head
    factors = {name: jnp.asarray(array) for name, array in part("start.").items()}
    frozen = parameters | {"scale": jnp.float32(about["scale"])}
    adapted = factors | head
    found = {
        "hidden": hidden_difference(network, reference),
        "logits": relative(finetune.logits(architecture, whole, ids, lengths), kept["logits"]),
        "gradients": worst(jax.grad(loss)(whole, {}), part("gradient.")),
        "adapted logits": relative(finetune.logits(architecture, frozen | adapted, ids, lengths), kept["adapted"]),
        "adapted gradients": worst(jax.grad(loss)(adapted, frozen), part("adapted.")),
    }
    for arm, trained, fixed, name in (("full", whole, {}, "weights"), ("lora", adapted, frozen, "factors")):
        losses, end = _train(architecture, trained, fixed, about["rates"][arm], ids, lengths, labels)
        found[f"{arm} losses"] = relative(losses, about["losses"][arm])
        found[f"{arm} {name}"] = worst(end, part(f"{arm}."))
    return found

"""Poison in the kernel regime: a linearised network with A frozen, fitted by ridge regression, sampled and predicted.

The sampled outputs come from draws of A and know nothing of the deterministic equivalent; `gaussian_outputs` come from the
Gaussian law with its mean and covariance. Both go through `effects`. Kernels are at ``c = 1``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from lorantk.experiments.common.poison import flip_labels
from lorantk.experiments.digits.cell import CLASSES
from lorantk.experiments.digits.poison import plant_backdoor, stamp_patch
from lorantk.experiments.digits.transfer import normalise, one_hot, transfer_digits
from lorantk.theory import equivalents
from lorantk.theory.gradient_rows import Rows, gradient_rows, layer_kernel
from lorantk.theory.networks import Network, forward

TARGET = 2


class Attack(NamedTuple):
    """Training and test data of one fine-tuning task, as gradients of the outputs at the start.

    Attributes
    ----------
    layers : dict of str to dict of str to Rows
        By set of images, ``"clean"``, ``"patch"`` (training), ``"test"`` and ``"stamped"``; then by matrix.
    targets : dict of str to array (N·C,)
        Labels minus outputs at the start: ``"clean"``, ``"patch"``, and one for each share of flipped labels, ``"flips 0.2"``.
    start : dict of str to array (T, C)
        Outputs at the start on ``"test"`` and ``"stamped"``.
    truth : array (T,)
        Labels of the test images.
    """

    layers: dict[str, dict[str, Rows]]
    targets: dict[str, np.ndarray]
    start: dict[str, np.ndarray]
    truth: np.ndarray


class Law(NamedTuple):
    """Mean ``(T, C)`` and covariance ``(T, C, C)`` of the outputs on each test image."""

    mean: np.ndarray
    covariance: np.ndarray


def attack(
    network: Network, matrices: Sequence[str], *, rows: int, test: int, flips: Sequence[float], patch: float, seed: int
) -> Attack:
    """Return the digits 5 to 9 as a task for a network, with flipped labels and with a backdoor.

    Parameters
    ----------
    network
        The network at the start, see `lorantk.experiments.digits.transfer.pretrained`.
    matrices
        Which weights train, such as ``("W2",)``.
    rows, test
        Number of training and of test images.
    flips, patch
        Shares of flipped labels and the share of images with the patch and the target label.
    seed
        Seed of the choice of images and of the poison.
    """
    pixels, labels = transfer_digits()[1]
    chosen = np.random.default_rng(seed).choice(len(labels), rows + test, replace=False)
    own, held = chosen[:rows], chosen[rows:]
    poison = {"rate": patch, "target": TARGET, "classes": CLASSES, "seed": seed}
    stamped, targeted, _ = plant_backdoor(pixels[own], labels[own], **poison)
    images = {"clean": pixels[own], "patch": stamped, "test": pixels[held], "stamped": stamp_patch(pixels[held])}
    images = {name: normalise(part) for name, part in images.items()}
    starts = {name: np.asarray(forward(network, x)) for name, x in images.items()}
    wanted = {"clean": labels[own], "patch": targeted}
    wanted |= {f"flips {share}": flip_labels(labels[own], rate=share, classes=CLASSES, seed=seed)[0] for share in flips}
    gradients = {name: gradient_rows(network, x) for name, x in images.items()}
    return Attack(
        layers={name: {matrix: found[matrix] for matrix in matrices} for name, found in gradients.items()},
        targets={
            name: (one_hot(y) - 1 / CLASSES - starts["patch" if name == "patch" else "clean"]).ravel()
            for name, y in wanted.items()
        },
        start={name: starts[name] for name in ("test", "stamped")},
        truth=labels[held],
    )


def _runs(task: Attack) -> list[tuple[str, list[str], list[str]]]:
    """Training images, the labels to fit on them and the test images to look at."""
    fits = [name for name in task.targets if name != "patch"]
    return [("clean", fits, ["test", "stamped"]), ("patch", ["patch"], ["stamped"])]


def _kernels(left: Mapping[str, Rows], right: Mapping[str, Rows], ranks: Mapping[str, int]):
    """A function of A, for many A: only the inputs of the layers are multiplied again."""
    fixed = sum(layer_kernel(left[name], right[name]) for name in left if name not in ranks)
    backward = {name: left[name].backward @ right[name].backward.T for name in ranks}
    inputs = {name: (left[name].forward[::CLASSES], right[name].forward[::CLASSES]) for name in ranks}

    def kernel(factors):
        total = fixed
        for name, A in factors.items():
            h, g = inputs[name]
            products = (h @ A.T) @ (g @ A.T).T
            blocks = backward[name].reshape(len(h), CLASSES, len(g), CLASSES) * products[:, None, :, None]
            total = total + blocks.reshape(backward[name].shape)
        return total

    return kernel


def sampled_outputs(
    task: Attack, ranks: Mapping[str, int], ridge: float, *, draws: int, rng: np.random.Generator
) -> dict[tuple[str, str], Float[np.ndarray, "draws T C"]]:
    """Return the outputs of the ridge predictor for draws of a Gaussian A, by labels trained on and test images.

    Parameters
    ----------
    task
        The data.
    ranks
        Rank of each adapted matrix; the others are trained in full.
    ridge
        ``λ``.
    draws, rng
        Number and source of the draws.
    """
    runs = []
    for images, fits, tests in _runs(task):
        own = task.layers[images]
        cross = {test: _kernels(task.layers[test], own, ranks) for test in tests}
        runs.append((fits, _kernels(own, own, ranks), cross, np.stack([task.targets[name] for name in fits], axis=1)))
    widths = {name: task.layers["clean"][name].forward.shape[1] for name in ranks}
    found = defaultdict(list)
    for _ in range(draws):
        # The same A with and without the backdoor, as for one adapter whose data are poisoned.
        A = {name: rng.standard_normal((r, widths[name])) / np.sqrt(r) for name, r in ranks.items()}
        for fits, train, cross, y in runs:
            K = train(A) + ridge * np.eye(len(y))
            weights = cho_solve(cho_factor(K, overwrite_a=True, check_finite=False), y, check_finite=False)
            for test, kernel in cross.items():
                f = (kernel(A) @ weights).T.reshape(len(fits), -1, CLASSES) + task.start[test]
                for name, part in zip(fits, f, strict=True):
                    found[name, test].append(part)
    return {key: np.array(parts) for key, parts in found.items()}


def equivalent_laws(task: Attack, ranks: Mapping[str, int], ridge: float) -> dict[tuple[str, str], Law]:
    """Return the equivalent's mean and covariance of the outputs that `sampled_outputs` draws.

    Parameters
    ----------
    task, ranks, ridge
        As there.
    """
    laws = {}
    for images, fits, tests in _runs(task):
        own = task.layers[images]
        found = equivalents.matrix_equivalent(own, ranks, ridge, tolerance=1e-6)
        for name in fits:
            for test in tests if name in ("clean", "patch") else ["test"]:
                mean, covariance = equivalents.predict(
                    found, own, ranks, task.layers[test], task.targets[name], outputs=CLASSES, tolerance=1e-4
                )
                laws[name, test] = Law(mean.reshape(-1, CLASSES) + task.start[test], covariance)
    return laws


def gaussian_outputs(
    laws: Mapping[tuple[str, str], Law], *, draws: int, rng: np.random.Generator
) -> dict[tuple[str, str], Float[np.ndarray, "draws T C"]]:
    """Return draws from Gaussian laws, independent between test images: only shares of images are needed.

    Parameters
    ----------
    laws
        From `equivalent_laws`.
    draws, rng
        Number and source of the draws.
    """
    outputs = {}
    for key, (mean, covariance) in laws.items():
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(values.clip(0))[:, None, :]
        outputs[key] = mean + np.einsum("tcd,std->stc", root, rng.standard_normal((draws, *mean.shape)))
    return outputs


def effects(task: Attack, outputs: Mapping[tuple[str, str], Float[np.ndarray, "draws T C"]]) -> dict[str, np.ndarray]:
    """Return what the poison does, by draw: ``"accuracy"`` without poison, a drop for each share of flips, and ``"lift"``.

    The drop is the clean test accuracy lost to flipped labels; the lift is the share of stamped test images of other classes
    that go to the target, with the backdoor in the training data minus without.

    Parameters
    ----------
    task
        The data.
    outputs
        From `sampled_outputs` or `gaussian_outputs`.
    """
    correct = {name: (f.argmax(axis=2) == task.truth).mean(axis=1) for (name, test), f in outputs.items() if test == "test"}
    success = {
        name: (f.argmax(axis=2) == TARGET)[:, task.truth != TARGET].mean(axis=1)
        for (name, test), f in outputs.items()
        if test == "stamped"
    }
    found = {"accuracy": correct["clean"], "lift": success["patch"] - success["clean"]}
    return found | {name: correct["clean"] - value for name, value in correct.items() if name != "clean"}

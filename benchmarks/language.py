"""Time kernels and training steps of a real transformer side by side: python benchmarks/language.py OUT.json [--quick].

MiniLM with a random head, sentences of random words, float32. Kernels are of one output and sentences of 6 to 32 tokens. A step
is one of AdamW on 32 sentences of 6 to 24 tokens, as in the study on the language model. Calls are interleaved as in kernels.py.
PyTorch runs in the environment of `make peft`, if there is one, in a process that waits between its calls. Peak memory is
measured in separate processes.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import jax
import jax.numpy as jnp
import numpy as np
from kernels import available, environment, interleaved, median
from memory import peak_mib

from lorantk.experiments.language import bert, finetune, study
from lorantk.experiments.language.cell import BATCH, CLASSES, LONGEST, Cell
from lorantk.theory import features, lanczos, linear_maps, matrix_free, neural_tangents, spectra

TORCH = HERE.parent / ".venv-peft" / "bin" / "python"
TOKENS, RANK, SCALE = 32, 8, 2.0
MODES = {"maps": "all linear maps", "parameters": "all parameters", "lora": "LoRA, query and value"}
ARM_NAMES = {"full": "full fine-tuning", "lora": "LoRA"}
METHODS = ("gradient", "lorantk", "jacrev", "nt1", "torch")
# Copies of the Jacobian that a method holds, roughly, so that it is not tried without enough memory.
COPIES = {"jacrev": 1.3, "nt1": 2.3, "torch": 1.3}


def tokens(N, longest=TOKENS):
    """Return token ids of N sentences of random words; 0 is padding."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, longest, N, endpoint=True)
    return np.where(np.arange(longest) < lengths[:, None], rng.integers(1000, 30000, (N, longest)), 0).astype(np.int32)


def linear(parameters, name, v):
    """Return what the map of that name gives, with its adapter if there is one."""
    y = bert.plain(parameters, name, v)
    if f"{name}.A" in parameters:
        y = y + SCALE * (v @ parameters[f"{name}.A"].T) @ parameters[f"{name}.B"].T
    return y


class Setting:
    """The model, its adapters, and N sentences."""

    def __init__(self, mode, N):
        """Read the weights, draw a head, and adapters with B = 0."""
        model = bert.read()
        architecture = model.architecture
        self.ids = jnp.asarray(tokens(N))
        self.parameters = {name: jnp.asarray(array) for name, array in model.parameters.items()}
        self.parameters |= bert.fresh_head(architecture, classes=1, key=jax.random.key(0))
        self.maps = (*bert.linear_names(architecture.layers), bert.HEAD)
        self.mode = mode
        if mode == "lora":
            self.adapted = [name for name in self.maps if name.endswith((".query", ".value"))]
            draw = np.random.default_rng(1).uniform
            bound = architecture.width**-0.5
            for name in self.adapted:
                m, n = self.parameters[f"{name}.weight"].shape
                self.parameters[f"{name}.A"] = jnp.asarray(draw(-bound, bound, (RANK, n)), jnp.float32)
                self.parameters[f"{name}.B"] = jnp.zeros((m, RANK), jnp.float32)
        self.model = lambda linear, ids: bert.classify(linear, architecture, ids, ids > 0)

    def trained(self):
        """Return the arrays that train."""
        names = list(self.parameters)
        if self.mode == "maps":
            names = [f"{name}.weight" for name in self.maps]
        if self.mode == "lora":
            names = [f"{name}.{factor}" for name in self.adapted for factor in "AB"]
        return {name: self.parameters[name] for name in names}

    def function(self):
        """Return ``f(trained, rest, ids)``."""
        return lambda trained, rest, ids: self.model(partial(linear, rest | trained), ids)

    def parts(self):
        """Return what trains of each map, for the kernel of all parameters."""
        parts = dict.fromkeys(self.maps, ("matrix", "bias"))
        for array in self.parameters:
            name = array.rpartition(".")[0]
            if name.endswith("LayerNorm"):
                parts[name] = ("gain", "bias")
            elif name.endswith("embeddings"):
                parts[name] = ("table",)
        return parts


def method(name, mode, N):
    """Return a function without arguments that computes a kernel, or the gradient of the sum of the outputs."""
    setting = Setting(mode, N)
    f, ids, trained = setting.function(), setting.ids, setting.trained()
    rest = {key: array for key, array in setting.parameters.items() if key not in trained}
    if name == "gradient":  # of all parameters, whichever train
        gradient = jax.jit(jax.grad(lambda parameters, ids: f(parameters, {}, ids).sum()))
        plain = {key: array for key, array in setting.parameters.items() if not key.endswith((".A", ".B"))}
        return lambda: gradient(plain, ids)
    if name == "lorantk" and mode == "lora":
        adapters = {key: {"A": setting.parameters[f"{key}.A"]} for key in setting.adapted}
        gram = jax.jit(lambda G: G @ G.T)
        return lambda: gram(features.adapter_features(setting.model, linear, setting.parameters, ids, adapters, SCALE))
    if name == "lorantk":
        names = setting.maps if mode == "maps" else None
        parts = None if mode == "maps" else setting.parts()
        return lambda: linear_maps.full_kernel(linear_maps.factors(setting.model, linear, setting.parameters, ids, names), parts)
    if name == "jacrev":
        g = partial(_with_rest, f, rest)
        return lambda: matrix_free.ntk_of_function(g, trained, ids, outputs="trace")
    implementation = neural_tangents.NtkImplementation(1)
    kernel = neural_tangents.empirical_ntk_fn(
        partial(_with_rest, f, rest), trace_axes=(-1,), vmap_axes=0, implementation=implementation
    )
    kernel = jax.jit(kernel, static_argnums=1)
    return lambda: kernel(ids, None, trained)


def _with_rest(f, rest, trained, ids):
    return f(trained, rest, ids)


class Torch:
    """A process with PyTorch that computes a kernel whenever it is called."""

    def __init__(self, mode, N):
        """Start the process and wait until it is ready."""
        command = [str(TORCH), str(HERE / "torch_worker.py"), mode, str(N), str(RANK)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.parameters = int(self.ask("ready"))

    def ask(self, word):
        """Send a word and return the answer."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __call__(self):
        """Compute the kernel once."""
        return self.ask("run")


def weighed(name, mode, N):
    """Return the peak memory of a method above that before the call, in MiB, measured in a separate process."""
    if name == "torch":
        worker = Torch(mode, N)
        peak = float(worker.ask("peak"))
        worker.process.terminate()
        return peak
    command = [sys.executable, __file__, "--peak", name, mode, str(N)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def measure(mode, N, names, seconds):
    """Return one row for each method."""
    P = sum(array.size for array in Setting(mode, N).trained().values())
    rows, functions, workers = [], {}, []
    for name in names:
        row = {"what": "kernel", "mode": mode, "label": MODES[mode], "N": N, "parameters": P, "method": name}
        needed = 4 * N * P * COPIES.get(name, 0)
        if name == "torch" and not TORCH.exists():
            rows.append(row | {"seconds": None, "note": "no environment with PyTorch: make peft"})
        elif needed > available() - 3 * 2**30:
            rows.append(row | {"seconds": None, "note": f"not tried: needs about {needed / 2**30:.0f} GiB"})
        else:
            functions[name] = Torch(mode, N) if name == "torch" else method(name, mode, N)
            workers += [functions[name].process] if name == "torch" else []
            rows.append(row)
    times = interleaved(functions, seconds)
    for worker in workers:
        worker.terminate()
    truth = np.asarray(functions["lorantk"]()).ravel() if "lorantk" in functions else None
    for row in rows:
        name = row["method"]
        if name in functions:
            row |= {"seconds": median(times[name], 0), "rounds": len(times[name]), "peak_mib": weighed(name, mode, N)}
            row |= {"all_seconds": [pair[0] for pair in times[name]]}
            if name != "torch":
                row["cpu_seconds"] = median(times[name], 1)
            if name in ("jacrev", "nt1"):
                row["difference"] = float(np.abs(np.asarray(functions[name]()).ravel() - truth).max() / np.abs(truth).max())
    return rows


def stored(N, seconds):
    """Yield rows of LoRA's stored gradients: one pass, a product with eight vectors, and exact eigenvalues beside Lanczos."""
    setting = Setting("lora", N)
    adapters = {key: {"A": setting.parameters[f"{key}.A"]} for key in setting.adapted}
    model = setting.model

    def one_pass():
        return features.adapter_features(model, linear, setting.parameters, setting.ids, adapters, SCALE)

    G = one_pass()
    product, V = jax.jit(features.feature_product), jax.random.normal(jax.random.key(2), (8, N), jnp.float32)
    rule = {"probes": 12, "depth": min(24, N), "key": jax.random.key(3)}
    functions = {
        "one pass": one_pass,
        "product with 8 vectors": lambda: product(V, G),
        "eigenvalues of the kernel": lambda: spectra.eigenvalues(np.asarray(G @ G.T)),
        "Lanczos": lambda: lanczos.quadrature(
            features.feature_product, N, parameters=(G,), dtype=G.dtype, **rule
        ).nodes,
    }  # fmt: skip
    times = interleaved(functions, seconds)
    for name, found in times.items():
        row = {"what": "stored", "label": name, "N": N, "columns": G.shape[1], "method": "lorantk"}
        yield row | {"seconds": median(found, 0), "cpu_seconds": median(found, 1), "rounds": len(found)}


def training_step(arm):
    """Return a function that takes one step of the study's training at a tiny rate, on 32 sentences."""
    model = bert.read()
    regime = study.SIZES["one epoch"]
    run = Cell(regime="one epoch", attack="clean", arm=arm, **regime, rates=(1e-6,), seeds=1).run(1e-6, 0)
    parameters = {name: jnp.asarray(array) for name, array in model.parameters.items()}
    state = finetune.start(model.architecture, parameters, run, jax.random.key(0))
    ids = tokens(BATCH, LONGEST)
    lengths, labels = (ids > 0).sum(axis=1), np.arange(BATCH) % CLASSES
    arrays = [{name: jnp.array(array) for name, array in state.trained.items()}, state.memory]  # each step uses them up

    def step():
        *arrays[:], loss = finetune.step(model.architecture, arrays[0], state.frozen, arrays[1], run.rate, ids, lengths, labels)
        return jax.block_until_ready(loss)

    return step


def steps(seconds):
    """Yield rows of one training step in each arm, here and with PyTorch and PEFT."""
    for arm, mode in {"lora": "lora-steps", "full": "steps"}.items():
        row = {"what": "step", "mode": arm, "label": f"training step, {ARM_NAMES[arm]}", "N": BATCH}
        functions = {"lorantk": training_step(arm)}
        if TORCH.exists():
            functions["torch"] = Torch(mode, BATCH)
        else:
            yield row | {"method": "torch", "seconds": None, "note": "no environment with PyTorch: make peft"}
        for name, found in interleaved(functions, seconds).items():
            yield row | {"method": name, "seconds": median(found, 0), "rounds": len(found), "all_seconds": [t for t, _ in found]}
        if "torch" in functions:
            functions["torch"].process.terminate()


def main():
    """Measure everything and write the results, or print one peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether it works")
    parser.add_argument("--seconds", type=float, default=120, help="for each kernel")
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--peak", nargs=3, metavar=("METHOD", "MODE", "N"), help="print the peak memory of a method, in MiB")
    options = parser.parse_args()
    if options.peak:
        name, mode, N = options.peak
        function = method(name, mode, int(N))
        print(peak_mib(lambda: jax.block_until_ready(function())))
        return
    N, many, seconds = (8, 16, 1) if options.quick else (128, 1024, options.seconds)
    about, rows = environment(), []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for mode in options.modes:
        names = [name for name in options.methods if name != "torch" or mode != "parameters"]
        rows += [row | {"environment": about} for row in measure(mode, N, names, seconds)]
        for row in rows[-len(names) :]:
            print(*(row.get(key) for key in ("label", "N", "method", "seconds", "peak_mib", "difference", "note")), flush=True)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
    rows += [row | {"environment": about} for row in (*stored(many, seconds / 4), *steps(seconds / 4))]
    for row in rows:
        if row["what"] != "kernel":
            print(*(row.get(key) for key in ("label", "method", "seconds", "note")), flush=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

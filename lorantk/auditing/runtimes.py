"""The scale s that other programs give to an adapter that PEFT saved.

PEFT 0.21.2 itself applies ``α/r``, or ``α/√r`` with rsLoRA, with the α and r of each module (peft/tuners/lora/layer.py). By their
sources:

- vLLM, up to 0.30.0, takes ``lora_alpha`` and ``r`` of the configuration for every module, and knows rsLoRA but no patterns; it
  refuses DoRA, biases and modules_to_save (vllm/lora/peft_helper.py, commit 0214369; vllm/lora/lora_weights.py, commit 4c78406).
- llama.cpp needs a conversion, which keeps ``lora_alpha`` alone; then it applies ``α/r`` with the rank of each module's factors,
  without rsLoRA and without patterns, and 1 where α = 0 (convert_lora_to_gguf.py, commit 0b03ada; src/llama-adapter.h, commit
  215841f). The conversion stops at tensors other than factors, norms and base layers.
- Neither of the two is known to read the stacked factors of `target_parameters`.
- mlx-lm 0.32.2 reads its own format alone, with the scale itself (mlx_lm/tuner/utils.py).
- diffusers 0.42.1 and sd-scripts (commit 48d368f) read the files of image models, see `lorantk.auditing.image_formats`.
"""

from lorantk.auditing.configuration import Configuration, Settings, scale_of
from lorantk.auditing.report import Finding, Module, Scales
from lorantk.auditing.saved import finding

NAMES = {"peft": "PEFT", "diffusers": "diffusers", "llama_cpp": "llama.cpp, after conversion,", "mlx": "mlx-lm", "vllm": "vLLM"}


def runtimes(configuration: Configuration, given: Settings, *, plain: bool) -> Scales:
    """Return the scale of one module of an adapter that PEFT saved, in each runtime that loads it.

    Parameters
    ----------
    configuration, given
        PEFT's configuration, and the module's own settings.
    plain
        Whether the file holds nothing that keeps llama.cpp's conversion from reading it.
    """
    alpha = configuration.alpha
    simple = not configuration.variants and not configuration.bias and not configuration.parameters
    return Scales(
        peft=given.scale,
        llama_cpp=(alpha / given.rank if alpha else 1.0) if plain and simple else None,
        vllm=scale_of(alpha, configuration.rank, configuration.rslora) if simple and not configuration.to_save else None,
    )


def _reason(runtime: str, module: Module, rslora: bool) -> str:
    if runtime == "llama_cpp":
        known = "alpha = 0 means s = 1 to it" if module.alpha == 0 else "it does not know alpha_pattern"
        return "it does not know rsLoRA" if rslora and module.alpha else known
    words = {
        "vllm": "it takes r and lora_alpha for every module, without patterns",
        "diffusers": "it does not look for alpha where the file has it",
    }
    return words.get(runtime, "by its own rule")


def differences(modules: list[Module], rslora: bool) -> list[Finding]:
    """Return a finding for each runtime that applies another scale than the audit has."""
    found = []
    for key, name in NAMES.items():
        pairs = [(module, getattr(module.scales, key)) for module in modules if module.scales is not None]
        other = [
            (module, scale) for module, scale in pairs if scale is not None and abs(scale - module.scale) > 1e-9 * abs(scale)
        ]
        if not other:
            continue
        module, scale = max(other, key=lambda item: abs(item[1] - item[0].scale))
        several = len(modules) > 1
        where = f" in {len(other)} of {len(modules)} modules" if several else ""
        text = f"{name} applies another scale{where}: {scale:.3g} instead of {module.scale:.3g}"
        text += f" in {module.name}" if several else ""
        advice = "multiply B by the ratio of the scales before you load it there, or expect another update"
        names = [module.name for module, _ in other]
        text = f"{text} ({_reason(key, module, rslora)})"
        found.append(finding(f"scale-in-{key.replace('_', '-')}", text, advice, names))
    return found

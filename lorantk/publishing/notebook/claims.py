"""The registry: every statement that the book judges, in the order of the paper's poster, then other papers', then our own."""

from dataclasses import dataclass

from lorantk.publishing.errors import ClaimError

KINDS = ("definition", "claim", "finding")
OWN = "this book"
OTHER = "arXiv:"  # begins the source of a claim of another paper


@dataclass(frozen=True)
class Claim:
    """One statement: its stable id, its kind (one of `KINDS`), a title, and where it is stated."""

    id: str
    kind: str
    title: str
    source: str


CLAIMS = (
    Claim("def-lora", "definition", "Low-rank adaptation", "equation 1"),
    Claim("def-ntk", "definition", "Neural tangent kernel", "equation 2"),
    Claim("ntk-deterministic", "claim", "The kernel converges to a deterministic limit", "property i of the kernel"),
    Claim("ntk-constancy", "claim", "The kernel stays constant during training", "property ii of the kernel"),
    Claim("def-upa", "definition", "Objective of untargeted poisoning", "equation 3"),
    Claim("def-bpa", "definition", "Objective of backdoor poisoning", "equation 4"),
    Claim("fisher-ntk", "claim", "The Fisher information is the weighted kernel", "theorem, equation 5"),
    Claim("def-ib", "definition", "Information bits", "equation 6"),
    Claim("def-renyi", "definition", "Rényi entropy", "equation 7"),
    Claim("bridge", "claim", "The attacks' objectives lead to bits and entropy", "step from equations 3–4 to 6–7"),
    Claim("def-ff", "definition", "Kernel of full fine-tuning", "equations 8–9"),
    Claim("ff-recursion", "claim", "Layer recursion of the kernel of full fine-tuning", "equations 8–9"),
    Claim("lora-lemma", "claim", "Layer recursion of the kernel of LoRA", "lemma, equation 10"),
    Claim("ff-lora-relation", "claim", "The two kernels differ by one quadratic form", "theorem, equation 11"),
    Claim("nsd", "claim", "The matrix between the kernels is negative semi-definite", "theorem after equation 11"),
    Claim("ideal-full-rank", "claim", "At full rank the two kernels agree", "corollary, ideal full rank"),
    Claim("ib-inequality", "claim", "LoRA's information bits are smaller", "last theorem"),
    Claim("renyi-inequality", "claim", "LoRA's Rényi entropy is smaller", "last theorem"),
    Claim(
        "finding-upa-bpa",
        "finding",
        "LoRA: weaker against untargeted poisoning, stronger against backdoors",
        "finding 1",
    ),
    Claim("finding-rank", "finding", "Rank trades untargeted poisoning against backdoors", "finding 2"),
    Claim("finding-variance", "finding", "The variance of A's entries changes robustness", "finding 3"),
    Claim("finding-low-rank", "finding", "Against backdoors, the lowest rank that performs is best", "finding 4"),
    Claim("finding-small-variance", "finding", "A small variance of A's entries is best", "finding 5"),
    Claim("language-upa-bpa", "finding", "On a language model: LoRA and the two attacks", "finding 1"),
    Claim("language-rank", "finding", "On a language model: rank and the two attacks", "finding 2"),
    Claim("language-variance", "finding", "On a language model: the variance of A's entries", "finding 3"),
    Claim("language-low-rank", "finding", "On a language model: a low rank against backdoors", "finding 4"),
    Claim("language-small-variance", "finding", "On a language model: a small variance of A's entries", "finding 5"),
    Claim("other-noise", "finding", "LoRA resists label noise, a lower rank more so", f"{OTHER}2602.00084"),
    Claim("other-lifespan", "finding", "At a lower rank a backdoor outlives clean training longer", f"{OTHER}2511.14406"),
    Claim("other-spectra", "finding", "Spectra tell poisoned adapters from clean ones", f"{OTHER}2602.15195"),
    Claim("other-norms", "finding", "The scatter of norms tells poisoned adapters from clean ones", f"{OTHER}2605.30189"),
    Claim("other-variants", "finding", "Variants of LoRA tie once rates are tuned", f"{OTHER}2602.04998"),
    Claim("mean-order", "claim", "The mean kernel is ordered at every width", OWN),
    Claim("gram-condition", "claim", "When the kernels are ordered on given data", OWN),
    Claim("trained-order", "claim", "When the kernels stay ordered after training", OWN),
    Claim("ib-law", "claim", "The law of the gap in information bits", OWN),
    Claim("cosine-floor", "claim", "Low rank bounds gradient cosines from below", OWN),
    Claim("gauge", "claim", "Variance and the two learning rates act as two settings, not three", OWN),
    Claim("lazy-criterion", "claim", "When LoRA trains with a constant kernel", OWN),
    Claim("matched-rate", "claim", "The rate at which LoRA and full fine-tuning compare", OWN),
    Claim("rank-order", "claim", "In the fit, poison takes hold more as the rank grows", OWN),
    Claim("head-variance", "claim", "The law of an adapted head, and what flipped labels add to its error", OWN),
    Claim("rate-is-time", "claim", "At the matched rate LoRA follows full fine-tuning", OWN),
    Claim("capacity", "claim", "How many labels LoRA can memorise", OWN),
    Claim("effective-ridge", "claim", "On average LoRA is full fine-tuning at a larger ridge", OWN),
    Claim("rank-sign", "claim", "When low rank raises the sensitivity to label noise", OWN),
    Claim("frozen-trade-off", "finding", "With A frozen, at capacity, rank trades one attack against the other", OWN),
    Claim("start-kernel", "finding", "With A frozen, the start kernel orders what poison does", OWN),
)

_BY_ID = {entry.id: entry for entry in CLAIMS}


def claim(name):
    """The claim with id `name`.

    Raises
    ------
    ClaimError
        If it is not in the registry.
    """
    if name not in _BY_ID:
        raise ClaimError(f"expected a claim id of the registry ({', '.join(_BY_ID)}), got {name!r}")
    return _BY_ID[name]

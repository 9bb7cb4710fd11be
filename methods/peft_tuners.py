"""Hugging Face peft's tuners, `peft:NAME`: a table of their options, and a method class for each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from petlir.benchmark.method import Paper
from petlir.methods.peft_method import PeftMethod, Tuner


def _paper(title: str, authors: str, venue: str) -> Paper:
    key = f"{authors.split()[0].lower()}{venue[-4:]}"
    return Paper(title, authors, venue, f"@misc{{{key}, title={{{title}}}, author={{{authors}}}, note={{{venue}}}}}")


LORA = _paper("LoRA: Low-Rank Adaptation of Large Language Models", "Hu et al.", "ICLR 2022")
LYCORIS = _paper(
    "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation", "Yeh et al.", "ICLR 2024"
)
RANK = {"rank": ("r", 4)}
LOW_RANK = RANK | {"alpha": ("lora_alpha", None)}
PRODUCTS = RANK | {"alpha": ("alpha", None)}
ATTENTION = "query+key+value+out"
# Frozen random bases are drawn again from peft's fixed seeds when an adapter is loaded, so they are not stored.
REDRAWN = {"save_projection": False}

TUNERS: Mapping[str, Tuner] = {
    "lora": Tuner("LORA", "A low-rank matrix is added to a projection.", LORA, LOW_RANK, size="rank"),
    "rslora": Tuner(
        "LORA",
        "LoRA scaled by alpha over the root of the rank, so that large ranks learn as fast.",
        _paper("A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", "Kalajdzievski", "arXiv 2023"),
        RANK | {"alpha": ("lora_alpha", 2.0)},
        {"use_rslora": True},
        size="rank",
    ),
    "dora": Tuner(
        "LORA",
        "LoRA on a weight's direction, with a trained magnitude for each output channel.",
        _paper("DoRA: Weight-Decomposed Low-Rank Adaptation", "Liu et al.", "ICML 2024"),
        LOW_RANK,
        {"use_dora": True},
        size="rank",
    ),
    "adalora": Tuner(
        "ADALORA",
        "A low-rank update in the form of a singular value decomposition; of AdaLoRA its form, at a fixed rank.",
        _paper("Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", "Zhang et al.", "ICLR 2023"),
        {"rank": ("init_r", 4), "alpha": ("lora_alpha", None)},
        {"total_step": 1},
        size="rank",
    ),
    "loha": Tuner("LOHA", "The elementwise product of two low-rank updates.", LYCORIS, PRODUCTS, size="rank"),
    "lokr": Tuner("LOKR", "The Kronecker product of a small and a low-rank matrix.", LYCORIS, PRODUCTS, size="rank"),
    "hira": Tuner(
        "HIRA",
        "A low-rank matrix multiplies the weight elementwise.",
        _paper("HiRA: Parameter-Efficient Hadamard High-Rank Adaptation", "Huang et al.", "ICLR 2025"),
        RANK,
        size="rank",
    ),
    "miss": Tuner(
        "MISS",
        "One small matrix, repeated over the inputs, is added to the weight.",
        _paper(
            "MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure", "Kang", "arXiv 2024"
        ),
        RANK,
        size="rank",
    ),
    "vera": Tuner(
        "VERA",
        "Frozen random low-rank matrices that all layers share, scaled by trained vectors.",
        _paper("VeRA: Vector-based Random Matrix Adaptation", "Kopiczko et al.", "ICLR 2024"),
        {"rank": ("r", 64)},
        REDRAWN,
        size="rank",
    ),
    "randlora": Tuner(
        "RANDLORA",
        "A sum of frozen random low-rank matrices up to full rank, each scaled by trained vectors.",
        _paper("RandLoRA: Full-Rank Parameter-Efficient Fine-Tuning of Large Models", "Albert et al.", "ICLR 2025"),
        {"rank": ("r", 8), "alpha": ("randlora_alpha", None)},
        REDRAWN,
    ),
    "fourierft": Tuner(
        "FOURIERFT",
        "A few trained frequencies of the weight's update.",
        _paper("Parameter-Efficient Fine-Tuning with Discrete Fourier Transform", "Gao et al.", "ICML 2024"),
        {"frequencies": ("n_frequency", 200), "scale": ("scaling", 150.0)},
        {"init_weights": True},
        size="frequencies",
    ),
    "waveft": Tuner(
        "WAVEFT",
        "A few trained wavelet coefficients of the weight's update.",
        _paper("Exploring Sparsity for Parameter Efficient Fine Tuning Using Wavelets", "Bilican et al.", "arXiv 2025"),
        {"coefficients": ("n_frequency", 200), "scale": ("scaling", 25.0)},
        size="coefficients",
    ),
    "shira": Tuner(
        "SHIRA",
        "A few entries of the weight, chosen at random, are trained.",
        _paper("Sparse High Rank Adapters", "Bhardwaj et al.", "NeurIPS 2024"),
        RANK,
        {"random_seed": 0},
        size="rank",
    ),
    "c3a": Tuner(
        "C3A",
        "A block-circulant matrix is added to the weight.",
        _paper("Parameter-Efficient Fine-Tuning via Circular Convolution", "Chen et al.", "ACL 2025"),
        {"block": ("block_size", 4)},
        {"init_weights": True},
    ),
    "ia3": Tuner(
        "IA3",
        "Keys, values and the inner features of the feed-forward are scaled.",
        _paper(
            "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
            "Liu et al.",
            "NeurIPS 2022",
        ),
        fixed={"feedforward_modules": r"down\d+"},
        sites="key+value+down",
    ),
    "road": Tuner(
        "ROAD",
        "Pairs of output channels are rotated and scaled.",
        _paper(
            "3-in-1: 2D Rotary Adaptation for Efficient Finetuning, Efficient Batching and Composability",
            "Liao and Monz",
            "NeurIPS 2024",
        ),
        {"group": ("group_size", 4)},
        sites=ATTENTION,
    ),
    "oft": Tuner(
        "OFT",
        "The inputs of a projection are rotated, block by block.",
        _paper("Controlling Text-to-Image Diffusion by Orthogonal Finetuning", "Qiu et al.", "NeurIPS 2023"),
        {"block": ("oft_block_size", 4)},
        {"use_cayley_neumann": False},
        sites=ATTENTION,
    ),
    "boft": Tuner(
        "BOFT",
        "The inputs of a projection are rotated and its outputs scaled; one butterfly factor, as peft has on a CPU.",
        _paper("Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization", "Liu et al.", "ICLR 2024"),
        {"block": ("boft_block_size", 4)},
        sites=ATTENTION,
    ),
    "hra": Tuner(
        "HRA",
        "The inputs of a projection are mirrored at a few trained planes, an even number of times.",
        _paper(
            "Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation",
            "Yuan et al.",
            "NeurIPS 2024",
        ),
        RANK,
    ),
}
"""The tuners by NAME in `peft:NAME`."""


def _method(name: str, tuner: Tuner) -> type[PeftMethod]:
    kinds = {
        option: float | None if default is None else type(default) for option, (_, default) in tuner.options.items()
    }
    defaults = {option: default for option, (_, default) in tuner.options.items()}
    namespace = {
        "__module__": __name__,
        "__doc__": f"{tuner.idea}\n\n    Source: {tuner.paper.authors}, {tuner.paper.title}, {tuner.paper.venue}.",
        "name": f"peft:{name}",
        "idea": tuner.idea,
        "paper": tuner.paper,
        "size": tuner.size,
        "tuner": tuner,
    }
    options = [(option, kind, defaults[option]) for option, kind in kinds.items()]
    fields = [*options, ("sites", str, tuner.sites)]
    return dataclasses.make_dataclass(
        f"Peft{name.capitalize()}", fields, bases=(PeftMethod,), frozen=True, namespace=namespace
    )


METHODS = {f"peft:{name}": _method(name, tuner) for name, tuner in TUNERS.items()}
"""The method classes by their names in grids."""

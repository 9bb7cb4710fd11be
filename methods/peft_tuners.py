"""Hugging Face peft's tuners, `peft:NAME`: a table of their options, and a method class for each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from petlir.benchmark.method import Paper
from petlir.methods.peft_method import PeftMethod, Tuner


def _paper(key: str) -> Paper:
    return Paper.from_bib(__file__, key)


LORA = _paper("hu2022lora")
LYCORIS = _paper("yeh2024navigating")
RANK = {"rank": ("r", 4)}
LOW_RANK = RANK | {"alpha": ("lora_alpha", None)}
PRODUCTS = RANK | {"alpha": ("alpha", None)}
ATTENTION = "query+key+value+out"
# Frozen random bases are regenerated from peft's fixed seeds when an adapter is loaded, so they are not stored.
REDRAWN = {"save_projection": False}

TUNERS: Mapping[str, Tuner] = {
    "lora": Tuner("LORA", "A low-rank matrix is added to a projection.", LORA, LOW_RANK, size="rank"),
    "rslora": Tuner(
        "LORA",
        "LoRA scaled by alpha over the root of the rank, so that large ranks learn as fast.",
        _paper("kalajdzievski2023rank"),
        RANK | {"alpha": ("lora_alpha", 2.0)},
        {"use_rslora": True},
        size="rank",
    ),
    "dora": Tuner(
        "LORA",
        "LoRA on a weight's direction, with a trained magnitude for each output channel.",
        _paper("liu2024dora"),
        LOW_RANK,
        {"use_dora": True},
        size="rank",
    ),
    "adalora": Tuner(
        "ADALORA",
        "A low-rank update in the form of a singular value decomposition, as in AdaLoRA, but at a fixed rank.",
        _paper("zhang2023adaptive"),
        {"rank": ("init_r", 4), "alpha": ("lora_alpha", None)},
        {"total_step": 1},
        size="rank",
    ),
    "loha": Tuner("LOHA", "The elementwise product of two low-rank updates.", LYCORIS, PRODUCTS, size="rank"),
    "lokr": Tuner("LOKR", "The Kronecker product of a small and a low-rank matrix.", LYCORIS, PRODUCTS, size="rank"),
    "hira": Tuner(
        "HIRA",
        "A low-rank matrix multiplies the weight elementwise.",
        _paper("huang2025hira"),
        RANK,
        size="rank",
    ),
    "miss": Tuner(
        "MISS",
        "One small matrix, repeated over the inputs, is added to the weight.",
        _paper("kang2024miss"),
        RANK,
        size="rank",
    ),
    "vera": Tuner(
        "VERA",
        "Frozen random low-rank matrices that all layers share, scaled by trained vectors.",
        _paper("kopiczko2024vera"),
        {"rank": ("r", 64)},
        REDRAWN,
        size="rank",
    ),
    "randlora": Tuner(
        "RANDLORA",
        "A sum of frozen random low-rank matrices up to full rank, each scaled by trained vectors.",
        _paper("albert2025randlora"),
        {"rank": ("r", 8), "alpha": ("randlora_alpha", None)},
        REDRAWN,
    ),
    "fourierft": Tuner(
        "FOURIERFT",
        "A few trained frequencies of the weight's update.",
        _paper("gao2024parameter"),
        {"frequencies": ("n_frequency", 200), "scale": ("scaling", 150.0)},
        {"init_weights": True},
        size="frequencies",
    ),
    "waveft": Tuner(
        "WAVEFT",
        "A few trained wavelet coefficients of the weight's update.",
        _paper("bilican2025exploring"),
        {"coefficients": ("n_frequency", 200), "scale": ("scaling", 25.0)},
        size="coefficients",
    ),
    "shira": Tuner(
        "SHIRA",
        "A few entries of the weight, chosen at random, are trained.",
        _paper("bhardwaj2024sparse"),
        RANK,
        {"random_seed": 0},
        size="rank",
    ),
    "c3a": Tuner(
        "C3A",
        "A block-circulant matrix is added to the weight.",
        _paper("chen2025parameter"),
        {"block": ("block_size", 4)},
        {"init_weights": True},
    ),
    "ia3": Tuner(
        "IA3",
        "Keys, values and the inner features of the feed-forward are scaled.",
        _paper("liu2022few"),
        fixed={"feedforward_modules": r"down\d+"},
        sites="key+value+down",
    ),
    "road": Tuner(
        "ROAD",
        "Pairs of output channels are rotated and scaled.",
        _paper("liao2024rotary"),
        {"group": ("group_size", 4)},
        sites=ATTENTION,
    ),
    "oft": Tuner(
        "OFT",
        "The inputs of a projection are rotated, block by block.",
        _paper("qiu2023controlling"),
        {"block": ("oft_block_size", 4)},
        {"use_cayley_neumann": False},
        sites=ATTENTION,
    ),
    "boft": Tuner(
        "BOFT",
        "The inputs of a projection are rotated and its outputs scaled; one butterfly factor, as peft has on a CPU.",
        _paper("liu2024parameter"),
        {"block": ("boft_block_size", 4)},
        sites=ATTENTION,
    ),
    "hra": Tuner(
        "HRA",
        "The inputs of a projection are mirrored at a few trained planes, an even number of times.",
        _paper("yuan2024bridging"),
        RANK,
    ),
}
"""The tuners, by the NAME in `peft:NAME`."""


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
"""The method classes, by their names in grids, e.g. `peft:lora`."""

"""Test a network's field of view: one window, the whole image, or both if an operator spans the image."""

from __future__ import annotations

import pytest

from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.scoring.fields_of_view import scored_as, tiling_of, views
from petlir.methods.adaptir import AdaptIR
from petlir.methods.lora import LoRA

NAFNET = {"width": 8, "encoders": (1, 1), "middle": 1, "decoders": (1, 1)}


@pytest.mark.parametrize(
    ("backbone", "method", "expected"),
    [
        (tiny(), AdaptIR(), ("tiles-12",)),
        (build("edt-nano"), LoRA(), ("whole",)),
        (build("edt-nano"), AdaptIR(), ("whole", "tiles-48")),
        (build("nafnet", **NAFNET), LoRA(), ("whole", "tiles-48")),
    ],
)
def test_operators_over_the_whole_image_are_reported_in_tiles_too(backbone, method, expected):
    assert views(backbone, method, 48) == expected


def test_protocol_ids_of_records():
    seen = ("whole", "tiles-48")
    assert scored_as(("y", "rgb"), seen) == ("y@whole", "rgb@whole", "y@tiles-48", "rgb@tiles-48")
    assert scored_as(("y+x8", "y@official"), seen) == ("y@whole+x8", "y@official", "y@tiles-48+x8")
    with pytest.raises(PetlirError, match="unknown protocol 'z'"):
        scored_as(("y", "z"), seen)


def test_views_as_tilings():
    assert [tiling_of(view) for view in ("whole", "official", "tiles-48")] == [
        ("whole", None),
        ("official", None),
        ("default", 48),
    ]

"""Test that the contract accepts petlir's backbones and a user's, and rejects backbones that break one point each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Block, Site
from petlir.benchmark.contract import examine, findings, target_of
from petlir.benchmark.contract.backbone_points import BACKBONE_POINTS, BackboneTrial
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from tests.helpers.networks import ConvBlock, ConvNet

FAMILIES = find().backbone_families


class Sound(ConvNet):
    """A correct backbone of two blocks with eight channels."""

    def __init__(self) -> None:
        super().__init__(8)


class Nameless(Sound):
    """A backbone whose name cannot be used in a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "No Name"


class Hidden(Sound):
    """A backbone that computes with a tensor that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.randn(1)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        return super().forward(images, head) + self.hidden


class Forgiving(Sound):
    """A backbone that loads any state dict without checking it."""

    def load_official(self, state):
        self.load_state_dict(state, strict=False)


class Even(Sound):
    """A backbone that accepts only images with even sides."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        return super().forward(images, head) + images.unfold(2, 2, 2).mean() * 0 if images.shape[2] > 1 else images[1:]


class AnyHead(Sound):
    """A backbone that accepts the name of a head that it does not have."""

    def head_index(self, head: str | None) -> int:
        return 0


class Withheld(Sound):
    """A backbone whose `tunable` omits the last convolution."""

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        yield from self.first.parameters()
        yield from self.body.parameters()


class NoBlocks(Sound):
    """A backbone without blocks."""

    def blocks(self) -> Iterator[Block]:
        return iter(())


class Misplaced(Sound):
    """A backbone whose block names a projection that does not exist."""

    def blocks(self) -> Iterator[Block]:
        for block in super().blocks():
            mixer, mlp = block.branches
            yield replace(block, branches=(replace(mixer, sites=(Site("value", mixer.sites[0].owner, "gone"),)), mlp))


class Copied(Sound):
    """A backbone whose named projections are not used in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(8, 8)

    def blocks(self) -> Iterator[Block]:
        for block in super().blocks():
            mixer, mlp = block.branches
            yield replace(block, branches=(replace(mixer, sites=(Site("value", self, "idle"),)), mlp))

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        idle = {id(parameter) for parameter in self.idle.parameters()}
        yield from (parameter for parameter in self.parameters() if id(parameter) not in idle)


class Deaf(Sound):
    """A backbone whose branches bypass their hooks."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        self.head_index(head)
        features = self.first(images)
        for layer in self.body:
            block = cast("ConvBlock", layer)
            features = features + block.mix(block.norm1(features))
            features = features + block.feed(block.norm2(features))
        restored: Tensor = self.last(features) + images
        return restored


class Noisy(Sound):
    """A backbone that adds noise from its own generator in evaluation too."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        return super().forward(images, head) + torch.rand(1, generator=NOISE)


class Mixing(Sound):
    """A backbone that subtracts the mean of the batch."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        return super().forward(images - images.mean(), head)


class Shared(Sound):
    """A backbone whose instances all share one first convolution."""

    FIRST = nn.Conv2d(3, 8, 3, padding=1)

    def __init__(self) -> None:
        super().__init__()
        self.first = self.FIRST


class Reseeds(Sound):
    """A backbone whose forward pass seeds the global generator."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        torch.manual_seed(next(SEEDS))
        return super().forward(images, head)


NOISE, SEEDS = torch.Generator().manual_seed(0), count(12345)
FAULTS: dict[str, list[tuple[type[Sound], str]]] = {
    "described": [(Nameless, "name is missing, or is not lower-case words")],
    "saves and loads": [
        (Hidden, "some state is not a parameter or a buffer"),
        (Forgiving, "accepts a state dict without "),
    ],
    "sizes": [(Even, "1×1 pixels through restore give (1, 3, 1, 1), expected (2, 3, 1, 1)")],
    "heads": [(AnyHead, "an unknown head is not rejected"), (Withheld, "leaves out last.weight, on which")],
    "blocks": [(NoBlocks, "yields nothing"), (Misplaced, "site value of body.0 holds no module")],
    "sites": [(Copied, "the module that replaces site value of body.0 is never called")],
    "hooks": [(Deaf, "a module parallel to mixer of body.0 is not called")],
    "repeats": [
        (Noisy, "in evaluation mode, two passes over the same images differ"),
        (Mixing, "of restore for an image alone differs by "),
    ],
    "leaves no trace": [(Shared, "they share weights"), (Reseeds, "changes torch's global random numbers")],
}


@pytest.mark.parametrize("point", BACKBONE_POINTS)
def test_a_sound_backbone_holds_every_point(point):
    assert examine(point, BackboneTrial(Sound)).detail == ""


@pytest.mark.parametrize(
    ("point", "family", "detail"), [(point, *fault) for point, faults in FAULTS.items() for fault in faults]
)
def test_a_broken_backbone_fails_the_point_that_it_breaks(point, family, detail):
    finding = examine(point, BackboneTrial(family))
    assert not finding.passed
    assert detail in finding.detail and "\n" not in finding.detail


def test_a_lora_that_does_not_fold_is_told(monkeypatch):
    monkeypatch.setattr("petlir.benchmark.contract.backbone_points.MERGED", -1.0)
    assert "after folding a LoRA" in examine("merges", BackboneTrial(Sound)).detail


@pytest.mark.parametrize("point", [point for point in BACKBONE_POINTS if point not in ("hooks", "merges")])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_built_in_families_hold_it(family, point):
    finding = examine(point, BackboneTrial(FAMILIES[family].small))
    assert finding.passed, finding.detail


def test_a_target_is_a_family_or_a_class_of_a_file(tmp_path):
    assert target_of("edt") == FAMILIES["edt"].small
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    trial = BackboneTrial(target_of(f"{path}:Mine"))  # type: ignore[arg-type]
    assert trial.example.name == "mine"
    assert [finding.name for finding in findings(trial)] == list(BACKBONE_POINTS)
    with pytest.raises(PetlirError, match=r"unknown method or backbone in .*; did you mean 'Mine'"):
        target_of(f"{path}:Mime")


MINE = """from tests.helpers.networks import ConvNet
class Mine(ConvNet):
    name = "mine"
    @classmethod
    def small(cls):
        network = cls(8)
        network.name = "mine"
        return network
"""

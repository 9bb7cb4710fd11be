"""Test protocol ids: their meaning, and the refusal of anything else."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import CHANNELS, KNOWN, Protocol, protocol, protocols

PROTOCOLS = st.builds(
    Protocol,
    channel=st.sampled_from(sorted(CHANNELS)),
    border=st.integers(0, 999),
    ssim=st.sampled_from(["2d", "3d"]),
    uses_reference=st.booleans(),
    rounded=st.booleans(),
    seen=st.sampled_from(["", "whole", "official"]) | st.integers(1, 999).map("tiles-{}".format),
    ensemble=st.sampled_from([1, 8]),
)


@given(PROTOCOLS)
def test_every_combination_of_parts_has_an_id_that_is_read_as_it(made):
    assert protocol(made.id) == made


@given(PROTOCOLS, PROTOCOLS)
def test_two_ids_are_two_protocols(one, other):
    assert (one.id == other.id) == (one == other)
    assert (one.describe() == other.describe()) == (one == other)


@given(PROTOCOLS, PROTOCOLS)
def test_an_id_is_how_it_scores_and_how_the_image_was_restored(one, other):
    assert one.restored_as(other).way == other.way
    assert one.id == one.restored_as(protocol("y")).id + one.way


@given(st.sampled_from(["y", "rgb"]), st.integers(1, 999))
def test_the_id_tells_channel_and_border(channel, border):
    parsed = protocol(f"{channel}-crop{border}")
    assert (parsed.id, parsed.channel, parsed.border) == (f"{channel}-crop{border}", channel, border)


@pytest.mark.parametrize("name", KNOWN)
def test_known_ids_are_protocols_and_describe_themselves(name):
    parsed = protocol(name)
    assert parsed.id == name
    assert ("luma" in parsed.describe()) == name.startswith("y")
    assert f"{parsed.border} border pixels cropped" in parsed.describe() or parsed.border == 0
    assert ("which a restorer cannot know" in parsed.describe()) == ("gtmean" in name) == parsed.uses_reference


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Y",
        "y-crop0",
        "y-crop04",
        "y-crop",
        "y-crop-4",
        "ycrop4",
        "y-crop4 ",
        "y-crop4\n",
        "y@",
        "y@tiles-0",
        "y@all",
        "y-ssim3d-crop4",
        "y-float-gtmean",
        "y+x8@whole",
        "y-ipt-full",
        "rgb-uint8",
    ],
)
def test_one_meaning_has_one_id(name):
    with pytest.raises(PetlirError, match="unknown protocol"):
        protocol(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ycrop4", "y-crop4"),
        ("y-crop8-ssim3D", "y-crop8-ssim3d"),
        ("rgb-gt-mean", "rgb-gtmean"),
        ("rgb@tile-192+x8", "rgb@tiles-192+x8"),
        ("rgb-floats", "rgb-float"),
        ("y_ipt", "y-ipt"),
    ],
)
def test_the_nearest_id_is_named(name, meant):
    with pytest.raises(PetlirError, match=re.escape(f"did you mean '{meant}'")):
        protocol(name)


def test_ids_with_commas():
    assert [rule.id for rule in protocols("y, rgb-ssim3d,y")] == ["y", "rgb-ssim3d"]
    with pytest.raises(PetlirError, match="unknown protocol 'lab'; valid: rgb, "):
        protocols("y,lab")


def test_protocols_are_there_without_torch():
    code = "import sys, petlir.benchmark.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.sampled_from(["y", "rgb-crop4"]), st.integers(1, 999))
def test_what_the_network_saw_is_part_of_the_id(name, side):
    for seen, told in (("whole", "the whole image at once"), (f"tiles-{side}", f"tiles of {side}×{side} pixels")):
        parsed = protocol(f"{name}@{seen}")
        assert (parsed.channel, parsed.border, parsed.seen) == (protocol(name).channel, protocol(name).border, seen)
        assert told in parsed.describe()

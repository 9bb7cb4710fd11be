"""Protocol ids: what they mean, and that nothing else is taken for one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import PetlirError
from benchmark.protocol import KNOWN, protocol


@given(st.sampled_from(["y", "rgb"]), st.integers(1, 999))
def test_the_id_tells_channel_and_border(channel, border):
    parsed = protocol(f"{channel}-crop{border}")
    assert (parsed.id, parsed.channel, parsed.border) == (f"{channel}-crop{border}", channel, border)


@pytest.mark.parametrize("name", KNOWN)
def test_known_ids_are_protocols_and_describe_themselves(name):
    parsed = protocol(name)
    assert parsed.id == name
    assert ("luma" in parsed.describe()) == name.startswith("y")
    assert f"{parsed.border} pixels of border" in parsed.describe() or parsed.border == 0


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
    ],
)
def test_one_meaning_has_one_id(name):
    with pytest.raises(PetlirError, match="unknown protocol"):
        protocol(name)


def test_the_nearest_id_is_named():
    with pytest.raises(PetlirError, match="did you mean 'y-crop4'"):
        protocol("ycrop4")


def test_protocols_are_there_without_torch():
    code = "import sys, benchmark.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.sampled_from(["y", "rgb-crop4"]), st.integers(1, 999))
def test_what_the_network_saw_is_part_of_the_id(name, side):
    for seen, told in (("whole", "the whole image at once"), (f"tiles-{side}", f"tiles of {side}×{side} pixels")):
        parsed = protocol(f"{name}@{seen}")
        assert (parsed.channel, parsed.border, parsed.seen) == (protocol(name).channel, protocol(name).border, seen)
        assert told in parsed.describe()

"""Claims: one holder at a time, taken over when it dies, on whatever they are kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.errors import Unwritable
from petlir.benchmark.store import claims as claiming
from petlir.benchmark.store.claims import DEAD, Claim, Claims, Overtaken
from petlir.benchmark.store.process import Process
from petlir.benchmark.store.shelf import Folder
from tests.engine import ROOT


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(Folder(tmp_path / "claims"))


def files(claims: Claims) -> list[str]:
    return sorted(claims.shelf.written())


def silent_since(claims: Claims, name: str, seconds: float) -> None:
    """Make a claim look as if its holder on another machine had last been heard of so long ago."""
    assert isinstance(claims.shelf, Folder)
    path = claims.shelf.path / name
    path.write_bytes(path.read_bytes().replace(b'"machine": "', b'"machine": "another '))
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_key_has_one_holder(claims):
    with claims.hold("key", "a cell") as first, claims.hold("key", "a cell") as second:
        assert first is not None and second is None
        assert not claims.free("key") and claims.free("other")
    assert claims.free("key")


def test_what_is_done_leaves_nothing(claims):
    with claims.hold("key", "a cell") as claim:
        claim.done = True
    assert files(claims) == []


def test_what_is_given_back_can_be_taken_again_and_leaves_two_files_at_most(claims):
    for _ in range(5):
        with claims.hold("key", "a cell") as claim:
            assert claim is not None
    assert files(claims) == ["key.4", "key.5"]
    assert claims.standing() == []


def test_an_error_gives_the_key_back(claims):
    with pytest.raises(KeyError), claims.hold("key", "a cell"):
        raise KeyError
    assert claims.free("key")


def test_on_a_full_disk_a_key_is_given_back_all_the_same(claims, monkeypatch):
    with claims.hold("key", "a cell"):
        monkeypatch.setattr(Folder, "write", lambda *_: (_ for _ in ()).throw(Unwritable("No space left on device")))
    assert claims.free("key") and claims.standing() == []


def test_of_many_that_try_at_once_one_gets_it(claims):
    gate = threading.Barrier(8)

    def attempt(_: int) -> bool:
        gate.wait()
        with claims.hold("key", "a cell") as claim:
            gate.wait()
            return claim is not None

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert sum(pool.map(attempt, range(8))) == 1


HOLDER = """
import sys, time
from pathlib import Path
from petlir.benchmark.store.claims import Claims
from petlir.benchmark.store.shelf import Folder
with Claims(Folder(Path(sys.argv[1]))).hold("key", "a cell"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_is_known_to_be_dead_at_once(claims, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "claims")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        (standing,) = claims.standing()
        assert (standing.title, standing.alive, standing.process.pid) == ("a cell", True, holder.pid)
        with claims.hold("key", "a cell") as claim:
            assert claim is None
        holder.kill()
        holder.wait()
        assert [one.alive for one in claims.standing()] == [False]
        with claims.hold("key", "a cell") as claim:
            assert claim is not None


def test_a_holder_elsewhere_is_dead_once_it_was_silent_for_long(claims):
    with claims.hold("key", "a cell") as first:
        assert first is not None
        silent_since(claims, first.name, DEAD / 2)
        assert not claims.free("key") and claims.standing()[0].alive
        silent_since(claims, first.name, DEAD + 5)
        assert claims.free("key") and not claims.standing()[0].alive
        with claims.hold("key", "a cell") as second:
            assert second is not None
            assert first.overtaken() and not second.overtaken()
            with pytest.raises(Overtaken):
                first.tell(0.5, "")
            second.tell(0.5, "")
    assert claims.free("key")


def test_a_living_holder_gives_signs_of_life(claims, monkeypatch):
    monkeypatch.setattr(claiming, "BEAT", 0.02)
    with claims.hold("key", "a cell") as claim:
        silent_since(claims, claim.name, DEAD + 5)
        claim.tell(0.25, "20 dB")
        deadline = time.monotonic() + 20
        while not (claims.standing() and claims.standing()[0].text == "20 dB" and time.monotonic() < deadline):
            time.sleep(0.01)
        (standing,) = claims.standing()
        assert (standing.share, standing.alive) == (0.25, True)


def test_news_that_were_old_do_not_make_a_second_holder(claims):
    """Who saw a dead claim, and slept while others took over, finds them there."""
    with claims.hold("key", "a cell") as first:
        silent_since(claims, first.name, DEAD + 5)
        seen = claims._numbers("key")
        news, look = iter([seen]), Claims._numbers
        with claims.hold("key", "a cell") as second, pytest.MonkeyPatch.context() as patch:
            assert second is not None
            patch.setattr(Claims, "_numbers", lambda self, key: next(news, None) or look(self, key))
            with claims.hold("key", "a cell") as third:
                assert third is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b"\xff"])
def test_a_claim_that_cannot_be_read_counts_by_its_age(claims, content):
    claims.shelf.create("key.1", content)
    assert not claims.free("key")
    then = time.time() - DEAD - 5
    os.utime(claims.shelf.path / "key.1", (then, then))
    assert claims.free("key")
    assert claims.standing() == []


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "die", "finish"]), st.integers(0, 2)), max_size=30))
def test_however_they_come_and_go_there_is_one_holder(tmp_path_factory, steps):
    claims = Claims(Folder(tmp_path_factory.mktemp("claims")))
    held: dict[int, tuple[ExitStack, Claim]] = {}
    for what, who in steps:
        if what == "take" and who not in held:
            stack = ExitStack()
            claim = stack.enter_context(claims.hold("key", "a cell"))
            assert (claim is None) == bool(held)
            if claim is not None:
                held[who] = stack, claim
        elif what != "take" and who in held:
            stack, claim = held.pop(who)
            claim.done = what == "finish"
            if what == "die":
                silent_since(claims, claim.name, DEAD + 5)
                claim.__exit__()  # its thread ends with it
            else:
                stack.close()
    for stack, _ in held.values():
        stack.close()
    assert claims.free("key") and len(files(claims)) <= 2


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    claims = Claims(Folder(tmp_path / "file" / "claims"))
    with pytest.raises(Unwritable, match="Not a directory"), claims.hold("key", "a cell"):
        pass


def test_processes_are_told_apart():
    this = Process.this()
    assert this.alive is True
    assert replace(this, started="0").alive is False, "its number was used again"
    assert replace(this, pid=2**22 + 1).alive is False
    assert replace(this, machine="another").alive is None
    assert replace(this, machine="").alive is None

"""Test leases: one holder at a time, and takeover when the holder dies, on every kind of storage."""

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
from petlir.benchmark.store import leases as leasing
from petlir.benchmark.store.blob_store import Folder
from petlir.benchmark.store.leases import DEAD, Lease, LeaseLost, Leases
from petlir.benchmark.store.process import Process
from tests.helpers.engine import ROOT


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(Folder(tmp_path / "leases"))


def files(leases: Leases) -> list[str]:
    return sorted(leases.blobs.written())


def silent_since(leases: Leases, name: str, seconds: float) -> None:
    """Make a lease look as if another machine held it and had last renewed it this many seconds ago."""
    assert isinstance(leases.blobs, Folder)
    path = leases.blobs.path / name
    path.write_bytes(path.read_bytes().replace(b'"machine": "', b'"machine": "another '))
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_key_has_one_holder(leases):
    with leases.hold("key", "a cell") as first, leases.hold("key", "a cell") as second:
        assert first is not None and second is None
        assert not leases.free("key") and leases.free("other")
    assert leases.free("key")


def test_what_is_done_leaves_nothing(leases):
    with leases.hold("key", "a cell") as lease:
        lease.done = True
    assert files(leases) == []


def test_what_is_given_back_can_be_taken_again_and_leaves_two_files_at_most(leases):
    for _ in range(5):
        with leases.hold("key", "a cell") as lease:
            assert lease is not None
    assert files(leases) == ["key.4", "key.5"]
    assert leases.standing() == []


def test_an_error_gives_the_key_back(leases):
    with pytest.raises(KeyError), leases.hold("key", "a cell"):
        raise KeyError
    assert leases.free("key")


def test_on_a_full_disk_a_key_is_given_back_all_the_same(leases, monkeypatch):
    with leases.hold("key", "a cell"):
        monkeypatch.setattr(Folder, "write", lambda *_: (_ for _ in ()).throw(Unwritable("No space left on device")))
    assert leases.free("key") and leases.standing() == []


def test_of_many_that_try_at_once_one_gets_it(leases):
    gate = threading.Barrier(8)

    def attempt(_: int) -> bool:
        gate.wait()
        with leases.hold("key", "a cell") as lease:
            gate.wait()
            return lease is not None

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert sum(pool.map(attempt, range(8))) == 1


HOLDER = """
import sys, time
from pathlib import Path
from petlir.benchmark.store.leases import Leases
from petlir.benchmark.store.blob_store import Folder
with Leases(Folder(Path(sys.argv[1]))).hold("key", "a cell"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_is_known_to_be_dead_at_once(leases, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "leases")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        (standing,) = leases.standing()
        assert (standing.title, standing.alive, standing.process.pid) == ("a cell", True, holder.pid)
        with leases.hold("key", "a cell") as lease:
            assert lease is None
        holder.kill()
        holder.wait()
        assert [one.alive for one in leases.standing()] == [False]
        with leases.hold("key", "a cell") as lease:
            assert lease is not None


def test_a_holder_elsewhere_is_dead_once_it_was_silent_for_long(leases):
    with leases.hold("key", "a cell") as first:
        assert first is not None
        silent_since(leases, first.name, DEAD / 2)
        assert not leases.free("key") and leases.standing()[0].alive
        silent_since(leases, first.name, DEAD + 5)
        assert leases.free("key") and not leases.standing()[0].alive
        with leases.hold("key", "a cell") as second:
            assert second is not None
            assert first.check_lost() and not second.check_lost()
            with pytest.raises(LeaseLost):
                first.tell(0.5, "")
            second.tell(0.5, "")
    assert leases.free("key")


def test_a_living_holder_gives_signs_of_life(leases, monkeypatch):
    monkeypatch.setattr(leasing, "BEAT", 0.02)
    with leases.hold("key", "a cell") as lease:
        silent_since(leases, lease.name, DEAD + 5)
        lease.tell(0.25, "20 dB")
        deadline = time.monotonic() + 20
        while not (leases.standing() and leases.standing()[0].text == "20 dB" and time.monotonic() < deadline):
            time.sleep(0.01)
        (standing,) = leases.standing()
        assert (standing.share, standing.alive) == (0.25, True)


def test_news_that_were_old_do_not_make_a_second_holder(leases):
    """A runner that saw an expired lease, and then slept while another runner took over, finds the new holder."""
    with leases.hold("key", "a cell") as first:
        silent_since(leases, first.name, DEAD + 5)
        seen = leases._numbers("key")
        news, look = iter([seen]), Leases._numbers
        with leases.hold("key", "a cell") as second, pytest.MonkeyPatch.context() as patch:
            assert second is not None
            patch.setattr(Leases, "_numbers", lambda self, key: next(news, None) or look(self, key))
            with leases.hold("key", "a cell") as third:
                assert third is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b"\xff"])
def test_a_claim_that_cannot_be_read_counts_by_its_age(leases, content):
    leases.blobs.create("key.1", content)
    assert not leases.free("key")
    then = time.time() - DEAD - 5
    os.utime(leases.blobs.path / "key.1", (then, then))
    assert leases.free("key")
    assert leases.standing() == []


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "die", "finish"]), st.integers(0, 2)), max_size=30))
def test_however_they_come_and_go_there_is_one_holder(tmp_path_factory, steps):
    leases = Leases(Folder(tmp_path_factory.mktemp("leases")))
    held: dict[int, tuple[ExitStack, Lease]] = {}
    for what, who in steps:
        if what == "take" and who not in held:
            stack = ExitStack()
            lease = stack.enter_context(leases.hold("key", "a cell"))
            assert (lease is None) == bool(held)
            if lease is not None:
                held[who] = stack, lease
        elif what != "take" and who in held:
            stack, lease = held.pop(who)
            lease.done = what == "finish"
            if what == "die":
                silent_since(leases, lease.name, DEAD + 5)
                lease.__exit__()  # its thread ends with it
            else:
                stack.close()
    for stack, _ in held.values():
        stack.close()
    assert leases.free("key") and len(files(leases)) <= 2


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    leases = Leases(Folder(tmp_path / "file" / "leases"))
    with pytest.raises(Unwritable, match="Not a directory"), leases.hold("key", "a cell"):
        pass


def test_processes_are_told_apart():
    this = Process.this()
    assert this.alive is True
    assert replace(this, started="0").alive is False, "its number was used again"
    assert replace(this, pid=2**22 + 1).alive is False
    assert replace(this, machine="another").alive is None
    assert replace(this, machine="").alive is None

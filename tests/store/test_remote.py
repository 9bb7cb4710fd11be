"""Test stores at a URL, on an S3 server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.job import Job
from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.runs import runner
from petlir.benchmark.store import Store
from petlir.benchmark.store.bucket import Bucket
from petlir.benchmark.store.leases import Leases
from petlir.benchmark.store.remote import RemoteStore, store_at
from tests.helpers.engine import PLUGIN, command, interrupt, results
from tests.helpers.servers import s3

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[str]:
    with s3() as address:
        yield address


@pytest.fixture
def url() -> str:
    return f"s3://bucket/{uuid4().hex}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that lets this machine pass for another one with its own working folder."""

    def be(name: str) -> None:
        monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / name))

    be("one")
    return be


def here(url: str) -> RemoteStore:
    store = store_at(url)
    assert isinstance(store, RemoteStore)
    return store


def test_of_many_that_try_at_once_one_gets_it(url):
    leases, gate = Leases(Bucket(url)), threading.Barrier(4)

    def attempt(_: int) -> bool:
        gate.wait()
        with leases.hold("key", "a cell") as lease:
            gate.wait()
            return lease is not None

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert sum(pool.map(attempt, range(4))) == 1
    assert sorted(leases.blobs.written()) == ["key.2", "key.3"]
    assert leases.standing() == [] and leases.free("key")
    with leases.hold("key", "a cell") as lease:
        assert lease is not None and [one.alive for one in leases.standing()] == [True]
        lease.done = True
    assert leases.blobs.written() == {}


def test_a_shelf_keeps_the_servers_time(url):
    blobs = Bucket(url)
    assert blobs.written() == {} and blobs.read("a") is None
    blobs.write("a", b"1")
    assert abs(blobs.now() - blobs.written()["a"]) < 5
    assert blobs.read("a") == b"1"
    blobs.remove("a")
    blobs.remove("a")
    assert blobs.written() == {}


def test_a_grid_behind_a_url_is_the_one_in_a_folder(lab, tmp_path, url, machine, capsys):
    chosen = {"methods": "frozen,follower,elsewhere"}
    assert lab.run(url, **chosen).summary().startswith("4 cells: 3 done, 1 not-applicable; processed 4\n")
    lab.run(tmp_path / "folder", **chosen)
    assert results(here(url).root) == results(tmp_path / "folder")
    assert {name.split("/")[0] for name in Bucket(url).sizes("")} == {"cells", "images", "plugins"}, "no work or leases"
    machine("two")
    assert lab.run(url, **chosen).worked == 0
    assert results(here(url).root) == results(tmp_path / "folder")
    code, out, err = command(capsys, "report", "--store", url)
    assert (code, err) == (0, "") and Path(out.strip()).is_file()
    assert whole(here(url).root) == whole(tmp_path / "folder")


def whole(root: Path) -> dict[str, bytes]:
    """Return the contents of the adapters and images of a store."""
    found = [path for kind in ("cells", "images") for path in (root / kind).rglob("*.*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.suffix in (".png", ".safetensors")}


def test_a_failed_cell_that_another_machine_has_mended_is_seen(lab, url, machine, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(PatchSampler, "batch", lambda self, step: 1 / 0)
        assert lab.run(url).states == {"failed": 1}
    machine("two")
    assert lab.run(url).states == {"done": 1}
    machine("one")
    outcome = lab.run(url)
    assert (outcome.states, outcome.worked) == ({"done": 1}, 0)


def test_another_machine_goes_on_from_the_checkpoint(lab, tmp_path, url, machine, monkeypatch):
    asked = lab.request(steps=5)
    asked = replace(asked, context=replace(asked.context, checkpoint_seconds=0))
    seen = interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        runner.run(asked, url, device="cpu", workers=1)
    machine("two")
    seen.clear()
    runner.run(asked, url, device="cpu", workers=1)
    assert seen == [0, 3, 4], "a batch to count costs with, then the steps that were left"
    lab.run(tmp_path / "whole", steps=5)
    assert results(here(url).root) == results(tmp_path / "whole")


def test_what_could_not_be_uploaded_is_uploaded_later(lab, url, monkeypatch):
    real = Bucket.write

    def write(self: Bucket, name: str, content: bytes) -> None:
        if name.endswith(RECORD):
            raise Unwritable("the store is out of reach")
        real(self, name, content)

    with monkeypatch.context() as broken, pytest.raises(PetlirError, match="out of reach"):
        broken.setattr(Bucket, "write", write)
        lab.run(url)
    assert not [name for name in Bucket(url).sizes("") if name.endswith(RECORD)]
    outcome = lab.run(url)
    assert (outcome.states, outcome.worked) == ({"done": 1}, 0)
    names = {name.rsplit("/", 1)[1] for name in Bucket(url).sizes("cells") if "restored" not in name}
    assert names == {RECORD, ADAPTER}


def test_what_was_removed_there_is_removed_here_and_done_again(lab, url, machine):
    lab.run(url, methods="frozen")
    Bucket(url).remove("cells")
    assert lab.run(url, methods="frozen").worked == 1


def test_trials_are_shared(lab, url, machine, monkeypatch):
    def curve(job: Job, device: str, parts: int) -> list[dict[str, float | None]]:
        return [{"step": job.cell.steps, "learning_rate": job.cell.rate, "loss": 0.1, "validation_psnr": 30.0}]

    monkeypatch.setattr(learning_rate, "_curve", curve)
    assert lab.run(url, regime="tuned").states == {"done": 1}
    assert [name for name in Bucket(url).sizes("tuning") if name.endswith("0.001.json")]
    machine("two")
    lab.executor.worked.clear()
    assert lab.run(url, regime="tuned").worked == 0 and lab.executor.worked == []


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("s3://no-such-bucket/x", "petlir: the store s3://no-such-bucket/x cannot be reached: "),
        ("s4://bucket/x", "petlir: the store s4://bucket/x is not a supported URL: Protocol not known: s4"),
        ("gs://bucket/x", "petlir: the store gs://bucket/x needs a package that is not installed: "),
    ],
)
@pytest.mark.parametrize("verb", ["run", "status", "report"])
def test_a_store_that_is_not_there_is_told_in_one_line(machine, capsys, lab, verb, address, line):
    more = ["-m", "frozen", "-t", "tiny", "--data", lab.data, "--plugin", PLUGIN] if verb == "run" else []
    code, out, err = command(capsys, verb, "--store", address, *more)
    assert (code, out, len(err.splitlines())) == (2, "", 1) and err.startswith(line)


def test_a_server_that_is_not_there_is_told_in_one_line(machine, capsys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()  # it knows where the server was
    code, out, err = command(capsys, "status", "--store", f"s3://bucket/{uuid4().hex}")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "cannot be reached: Could not connect to the endpoint URL" in err
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_folder_may_be_named_by_a_url(tmp_path):
    assert store_at(f"file://{tmp_path}") == store_at(tmp_path) == store_at(str(tmp_path)) == Store(tmp_path)


def test_looks_are_stated_in_folders_only(machine, capsys, lab, url):
    asked = ["-m", "frozen,lora", "-t", "tiny", "--data", lab.data, "--plugin", PLUGIN, "--seeds", "0,1,2"]
    code, _, err = command(capsys, "run", *asked, "--store", url, "--until-separable", "0.95", "--no-report")
    assert (code, err) == (
        2,
        f"petlir: --until-separable needs a store in a local folder, not {url}\n",
    )

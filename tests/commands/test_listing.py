"""Test the listing commands: names, counts and states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from petlir.benchmark.commands import listing, lists
from petlir.benchmark.images import catalogue
from petlir.benchmark.plugins import find
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from tests.helpers.engine import PLUGIN, ROOT, command, draw, save


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the procedural image sets, since computing their digests requires drawing their images."""
    listed = [name for name in catalogue.names() if not name.startswith("leaves-")]
    monkeypatch.setattr(catalogue, "names", lambda: listed)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", sorted(listing.LISTS))
def test_every_list_has_names_and_a_line_on_each(kind):
    rows = listing.LISTS[kind]([])
    assert rows
    assert all(row["name"] and row["about"] and "\n" not in row["about"] for row in rows)
    assert len({row["name"] for row in rows}) == len(rows)


def test_plugins_are_listed_with_the_rest():
    plain, more = listing.LISTS["methods"]([]), listing.LISTS["methods"]([PLUGIN])
    brought = {"broken", "diverging", "elsewhere", "follower", "lost", "nowhere"}
    assert {row["name"] for row in more} - {row["name"] for row in plain} == brought


def test_the_named_methods_and_tasks_are_there():
    names = {kind: {row["name"] for row in listing.LISTS[kind]([])} for kind in ("methods", "tasks")}
    assert names["methods"] >= {
        "frozen", "cascade", "full-ft", "lora", "adapter", "adaptformer", "ssf", "adaptir",
    }  # fmt: skip
    assert names["tasks"] >= {
        "sr_x2", "sr_x3", "sr_x4", "denoise_30", "denoise_50", "derain_light", "derain_heavy", "low_light",
        "hybrid_lr4_noise30", "hybrid_lr4_jpeg30", "sidd", "pairs:DIR",
    }  # fmt: skip


def test_tasks_are_listed_with_their_options():
    rows = {row["name"]: row for row in listing.LISTS["tasks"]([])}
    assert rows["hybrid_lr4_noise30"]["options"] == {"noise": ["rounded", "truncated", "float"]}
    assert rows["hybrid_lr4_noise30"]["about"].endswith("; noise=rounded|truncated|float")
    assert rows["sr_x4"]["options"] == {}


def test_parameters_of_low_rank_updates_are_counted_exactly():
    """A rank-r update of a d×d projection has 2·r·d weights; each attention has two such updates."""
    four, eight = listing.parameters("ipt-nano", "lora[rank=4,8]", False, [])
    network = find().build("ipt-nano")
    branches = [branch for block in network.blocks() for branch in block.branches]
    sites = [site for branch in branches for site in branch.projections("query", "value")]
    expected = sum(4 * sum(site.module.get_parameter("weight").shape) for site in sites)
    assert (four["trainable"], eight["trainable"]) == (expected, 2 * expected)
    assert four["stored_bytes"] == 4 * expected
    assert four["total"] == sum(p.numel() for p in network.parameters()) + expected
    assert four["options"]["rank"] == 4


def test_what_does_not_apply_says_why():
    (row,) = listing.parameters("ipt-nano", "elsewhere", False, [PLUGIN])
    assert row["trainable"] is None
    assert row["not_applicable"] == "ipt-nano has no tokens"


def test_published_settings_stand_beside_their_counts():
    rows = listing.parameters("ipt", "*", True, [])
    found = {row["label"]: (row["trainable"], row["published"]) for row in rows}
    methods = find().methods.values()
    ours = {setting.method.label: setting.ours for method in methods for setting in method.published("ipt")}
    assert found.keys() == ours.keys()
    for label, (counted, printed) in found.items():
        if ours[label] is not None:
            assert counted == ours[label], label
        elif printed.endswith("K"):
            assert counted == pytest.approx(float(printed[:-1]) * 1e3, rel=2e-3), label


def test_sizes_are_solved_for_in_the_list_too():
    (row,) = listing.parameters("ipt-nano", "adapter@20k", False, [])
    assert row["trainable"] == pytest.approx(20_000, rel=0.1)


def test_states_of_a_store(lab, tmp_path):
    assert lists.states(Index.from_store(Store(tmp_path))) == ({}, [])
    lab.run(tmp_path, methods="frozen,broken,elsewhere")
    counts, failures = lists.states(Index.from_store(Store(tmp_path)))
    assert counts == {"done": 1, "failed": 1, "not-applicable": 1}
    assert failures == [
        {"state": "failed", "cell": "ipt-nano · broken · tiny · seed 0", "reason": "ValueError: no such width"}
    ]


def test_what_runs_and_what_died_is_told(tmp_path, capsys):
    leases = Store(tmp_path).leases
    with leases.hold("a", "one cell") as running, leases.hold("b", "another cell") as dead:
        assert running is not None and dead is not None
        running.lease_info = replace(running.lease_info, share=0.25, text="27.1 dB")
        leases.blobs.write(running.name, running.lease_info.content)
        gone = replace(dead.lease_info, process=replace(dead.lease_info.process, pid=2**22 + 1))
        leases.blobs.write(dead.name, gone.content)
        rows = lists.working(Store(tmp_path))
        _, out, _ = command(capsys, "status", "--store", tmp_path)
    assert [(row["state"], row["cell"], row["share"], row["about"]) for row in rows] == [
        ("running", "one cell", 0.25, "27.1 dB"),
        ("abandoned", "another cell", 0.0, ""),
    ]
    assert "running: one cell: 25% 27.1 dB, by " in out and "abandoned: another cell: 0%, by " in out
    assert lists.working(Store(tmp_path)) == []


@pytest.mark.usefixtures("undrawn")
def test_image_sets_are_there_or_missing(small_images):
    state = {row["name"]: row["state"] for row in listing.presence(small_images)}
    assert state["photographs"] == "there"
    assert state["Rain100L"] == "missing"
    assert {row["state"] for row in listing.presence(None)} == {"there", "missing"}


@pytest.mark.usefixtures("undrawn")
def test_a_set_is_there_half_there_different_unreadable_or_missing(tmp_path):
    for number in range(1, 19):
        save(tmp_path / "McMaster" / f"{number}.tif", draw([number]))
    for number in range(1, 23):
        save(tmp_path / "Kodak24" / f"kodim{number:02d}.png", draw([number]))
    for name in ("baby", "bird", "butterfly", "head", "woman"):
        save(tmp_path / "Set5/HR" / f"{name}.png", draw([0]))
    (tmp_path / "Rain12.hub").write_text("hub:someone/rain@main")
    rows = {row["name"]: row for row in listing.presence(tmp_path)}
    mine = rows["McMaster"]
    assert (mine["state"], mine["count"], mine["expected"], len(mine["digest"])) == ("there", 18, 18, 64)
    assert mine["about"] == (f"18 images, digest {mine['digest'][:12]}; the catalogue has no digest for comparison")
    assert rows["Kodak24"]["state"] == "incomplete"
    assert "2 of 24 files are missing: " in rows["Kodak24"]["about"]
    assert f"{tmp_path}/Kodak24/kodim23.png, {tmp_path}/Kodak24/kodim24.png;" in rows["Kodak24"]["about"]
    assert rows["Set5"]["state"] == "different"
    assert rows["Set5"]["about"].startswith("Set5 differs from the catalogue: digest ")
    assert rows["Rain12"]["state"] == "unreadable"
    assert "not pinned" in rows["Rain12"]["about"]
    assert rows["DIV2K"]["state"] == "missing"
    assert rows["DIV2K"]["about"].startswith("get it: curl -LO https://")
    assert rows["Manga109"]["about"].startswith("get it: http")
    assert rows["Urban100"]["about"].endswith(
        "; or write the name of a hub repository (eugenesiow/Urban100, Voxel51/Urban100) to the file Urban100.hub"
    )
    assert all("\n" not in row["about"] for row in rows.values())


def test_the_page_of_protocols_is_what_the_command_prints(capsys):
    code, out, _ = command(capsys, "list", "protocols", "--markdown")
    assert (code, out) == (0, (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8"))

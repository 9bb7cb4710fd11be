"""Test composed LoRAs: the router's matrix against its own weights, experts against their own LoRAs, and messages."""

import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from petlir.benchmark.analysis.composition import NONE, TOGETHER, alone
from petlir.benchmark.analysis.finished import FEWEST, Analysis, Finished, cells, comparable, images_each, scene
from petlir.benchmark.analysis.transfer import transfer
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.layers.classifier import ExpertClassifier
from petlir.benchmark.layers.routing import BlockStatistics, Router
from petlir.benchmark.store import Store
from tests.helpers.engine import laboratory

EXPERTS = ("tiny", "tiny_y")
UIR = "uir-lora[degradations=tiny+tiny_y; rank=2]"


@pytest.fixture(scope="module")
def store(small_images, tmp_path_factory):
    root = tmp_path_factory.mktemp("composed")
    with laboratory(small_images) as lab:
        lab.run(root, methods=f"lora[rank=2],{UIR},uir-lora[degradations=tiny+tiny_y; rank=2; weights=uniform]",
                tasks=f"{','.join(EXPERTS)},tiny_x2")  # fmt: skip
    return root


@pytest.fixture(scope="module")
def found(small_images, store):
    with laboratory(small_images) as lab:
        analysis = transfer(cells(Store(store)), lab.context(), "cpu")
    return analysis, pd.DataFrame(analysis.rows)


def test_an_expert_alone_is_its_lora(found, store):
    """If all weight is on one LoRA, the composition restores like that LoRA's own cell, on every task."""
    _, table = found
    rows = table[table.trained.notna()].set_index(["label", "trained", "tested"]).psnr
    for expert in EXPERTS:
        for task in (*EXPERTS, "tiny_x2"):
            near = 1e-3  # of rounding to grey levels
            assert rows[UIR, expert, task] == pytest.approx(rows["lora[rank=2]", expert, task], abs=near)
    assert (UIR, TOGETHER, "tiny_x2") in rows.index


def test_the_matrix_is_the_routers_own(found, store, lab):
    analysis, table = found
    seen = scene(cells(Store(store)), lab.context(), "cpu", Analysis())
    cell = next(one for one in seen.cells if (one.label, one.task) == (UIR, "tiny_y"))
    network = cell.model(lab.context(), "cpu").network
    router = next(module for module in network.modules() if isinstance(module, ExpertClassifier))
    rows = table[table.expert.notna() & (table.tested == "tiny_y")].set_index("expert")
    images = seen.images["tiny_y"][0]
    own = torch.cat([router(network, image[None]) for image in images])
    forced = torch.cat([router.forced(network, image[None]) for image in images])
    for place, expert in enumerate(EXPERTS):
        assert rows.weight[expert] == pytest.approx(float(own[:, place].mean()), abs=1e-6)
        assert rows.most[expert] == pytest.approx(float(own[:, place].mean()), abs=1e-6)
        assert rows.most_forced[expert] == pytest.approx(float(forced[:, place].mean()), abs=1e-6)
    assert rows.most[NONE] == pytest.approx(float((own.sum(1) == 0).float().mean()), abs=1e-6)
    assert table[table.expert.notna()].groupby("tested").weight.sum().to_list() == pytest.approx([1, 1, 1])
    effects = table[table.effect.notna()].set_index("member").effect
    assert set(effects.index) == set(EXPERTS)
    said = " ".join(analysis.sentences)
    assert f"{UIR}: the router gives a task's own LoRA the most weight on" in said
    assert "chosen in hindsight: " in said and "tiny_x2" in said


def test_without_a_router_there_is_no_matrix(found):
    analysis, table = found
    uniform = "uir-lora[degradations=tiny+tiny_y; rank=2; weights=uniform]"
    assert set(table[table.label == uniform].trained) == {TOGETHER}
    assert f"{uniform}: its experts are not selected by a router, so there is no confusion matrix" in analysis.left_out


def test_alone_gives_one_expert_all_and_then_leaves():
    network = tiny()
    head = next(iter(network.heads))
    describe = BlockStatistics(head)
    router = Router(describe, torch.rand(4, describe.width(network)), 3, 0.1)
    images = torch.rand(2, 3, 12, 12)
    before = router(network, images)
    with alone(router, 1):
        assert router(network, images).tolist() == [[0, 1, 0]] * 2
    with alone(router, None):
        assert router(network, images).tolist() == [[0, 0, 0]] * 2
    assert torch.equal(router(network, images), before)


def counted(labels, tasks, backbone="b"):
    def record(label, task):
        return SimpleNamespace(cell=SimpleNamespace(label=label, task=task, backbone=backbone, track="t"))

    return [Finished(record(f"m{a}", f"t{b}"), None) for a in range(labels) for b in range(tasks)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "networks", "each"), [(10_000, 4, 2500), (6000, 350, 17), (300, 350, FEWEST), (9, 0, 9)]
)
def test_large_stores_see_fewer_images_of_each_task(total, networks, each):
    assert images_each(total, networks) == each


def test_few_images_are_spread_over_all(lab, store):
    found = cells(Store(store))
    whole, first = (scene(found, lab.context(), "cpu", Analysis(), most).images["tiny"][0] for most in (None, 1))
    assert (len(whole), len(first)) == (2, 1)
    assert torch.equal(first[0], whole[0])
    assert torch.equal(scene(found, lab.context(), "cpu", Analysis(), 2).images["tiny"][0], whole)


def test_a_damaged_cell_is_named_and_the_rest_whole(lab, store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    (adapter,) = (tmp_path / "store").glob("cells/*/tiny/lora-*/adapter.safetensors")
    adapter.write_bytes(b"torn")
    analysis = transfer(cells(Store(tmp_path / "store"), lambda cell: cell.method == "lora"), lab.context(), "cpu")
    (damaged, gap) = analysis.left_out
    assert "· lora[rank=2] · tiny · seed 0: adapter" in damaged and "missing or damaged" in damaged
    assert gap == "lora[rank=2]: the matrix omits tiny (no finished cell that could be loaded)"
    assert {(row["trained"], row["tested"]) for row in analysis.rows} == {
        (a, b) for a in ("tiny_x2", "tiny_y") for b in ("tiny_x2", "tiny_y")
    }


def test_cells_of_another_backbone_are_left_out_with_the_reason():
    mine, other = counted(2, 2), counted(1, 1, "other")
    kept, lines = comparable([*other, *mine])
    assert kept == mine
    assert lines == [
        "1 cell of other on track t: the analysis covers one backbone and track, here b on t; "
        "use -b other --track t to analyse this group"
    ]

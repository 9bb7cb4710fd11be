"""Test `petlir analyse` on finished cells: tables, sentences, and the cells to which an analysis does not apply."""

import shutil

import pandas as pd
import pytest
from torch import nn

from petlir.benchmark.cells.adapted_model import finished
from petlir.benchmark.protocol import protocol
from petlir.benchmark.restoration.restore import restore, to_batch, to_image
from petlir.benchmark.scoring.psnr_ssim import psnr
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, command, laboratory
from tests.helpers.samples import finished_in

NAMES = ("fourier", "contribution", "response", "transfer")


@pytest.fixture(scope="module")
def store(small_images, tmp_path_factory):
    root = tmp_path_factory.mktemp("studied")
    with laboratory(small_images) as lab:
        lab.run(root, methods="frozen,full-ft,lora,adaptir,colora[budget=12; images=2]", tasks="tiny,tiny_x2")
    return root


@pytest.fixture
def analysed(lab, store, tmp_path, capsys):
    def ask(name, *further):
        code, out, err = command(
            capsys, "analyse", name, "--store", store, "--data", lab.data, "--plugin", PLUGIN, "--out", tmp_path,
            "--device", "cpu", *further,
        )  # fmt: skip
        return code, out.splitlines(), err, pd.read_csv(tmp_path / f"{name}.csv")

    return ask


def test_frequencies_of_every_method_that_adds_something(analysed):
    code, lines, _, table = analysed("fourier")
    assert code == 0
    curves = table[table.frequency.notna()]
    branches = {"adaptir, local", "adaptir, frequency"}
    assert set(curves.label) == {"full-ft", "lora", "adaptir", "colora[budget=12; images=2]", "backbone"} | branches
    assert (curves[curves.frequency == 0].relative_log_amplitude == 0).all()
    assert any(line.startswith("Features added by lora: the curves of 2 tasks differ by ") for line in lines)
    assert any("frozen · tiny · seed 0: it adds nothing" in line for line in lines)


def test_contributions_of_full_fine_tuning_alone(analysed):
    _, lines, _, table = analysed("contribution")
    assert set(table[table.level != "rank"].label) == {"full-ft"}
    for task, level in (("tiny", "kind"), ("tiny_x2", "place")):
        rows = table[(table.task == task) & (table.level == level)]
        tensors = table[(table.task == task) & (table.level == "tensor")]
        assert (rows["mean"] * rows.parameters).sum() == pytest.approx((tensors["mean"] * tensors.parameters).sum())
        assert list(tensors.place.unique()) == ["encoder", "decoder", "outside"]
    assert "not applicable: adaptir: it neither fine-tunes the backbone nor adds low-rank updates" in lines


def test_ranks_are_those_that_the_record_has_parameters_for(analysed, lab, store):
    _, lines, _, table = analysed("contribution", "-m", "lora,colora[budget=12; images=2]")
    network = lab.context().plugins.build("ipt-nano")
    ranks = table[table.level == "rank"]
    costs = {name: sum(module.weight.shape[:2]) for name, module in network.named_modules()
             if isinstance(module, nn.Linear)}  # fmt: skip
    for record in finished_in(store):
        cell = record.cell
        own = ranks[(ranks.label == cell.label) & (ranks.task == cell.task)]
        if len(own):
            updates = sum(rank * costs[name] for name, rank in zip(own.group, own["rank"], strict=True))
            factors = sum(p.numel() for p in network.tunable(cell.heads[-1]) if p.squeeze().ndim <= 1)
            unfrozen = factors if cell.method == "colora" else 0
            assert updates + unfrozen == record.costs.trainable
    lora = ranks[ranks.label == "lora"]
    assert set(lora["rank"]) == {0, 4} and lora[lora["rank"] > 0].group.str.contains("query|value").all()
    assert "lora: rank 4 in every updated projection, on every task." in lines
    varied = ranks[(ranks.label == "colora[budget=12; images=2]") & (ranks.task == "tiny")]["rank"]
    shares = f"ranks {varied.min()} to {varied.max()} over {len(varied)} "
    told = f"ipt-nano · colora[budget=12; images=2] · tiny · seed 0: {shares}"
    assert varied.nunique() > 1 and any(line.startswith(told) for line in lines), lines


def test_branches_of_adaptir_and_what_every_method_adds(analysed):
    _, lines, _, table = analysed("response")
    assert set(table.label) == {"full-ft", "lora", "adaptir", "colora[budget=12; images=2]"}
    assert set(table[table.label == "lora"].branch) == {"added"}
    own = {"local", "frequency", "channel", "channel gate", "place gate"}
    assert set(table[table.label == "adaptir"].branch) == own | {"added"}
    assert "not applicable: lora: none of its modules has branches" in lines
    assert "not applicable: frozen: none of its modules has branches" in lines


def test_the_diagonal_of_a_transfer_matrix_is_the_cell_itself(analysed, lab, store):
    _, lines, _, table = analysed("transfer", "-m", "lora,frozen")
    assert len(table) == 4
    cell = next(r for r in finished_in(store) if (r.cell.label, r.cell.task) == ("lora", "tiny"))
    model = finished(Store(store).cell_folder(cell.cell, cell.key), lab.context(), "cpu")
    values = []
    for pair in lab.context().tests("tiny", "demo"):
        side = model.network.window
        top, left = ((length - side) // 2 for length in pair.degraded.shape[:2])
        crop = (slice(top, top + side), slice(left, left + side))
        output = to_image(restore(model.network, to_batch(pair.degraded[crop]), head=model.heads[-1]))
        values.append(psnr(output, pair.clean[crop], protocol("rgb")))
    own = table[(table.trained == "tiny") & (table.tested == "tiny")]
    near = 1e-3  # of a batch and of an image alone a value in ten thousand is rounded to another grey level
    assert own.psnr.item() == pytest.approx(sum(values) / len(values), abs=near)
    assert "not applicable: frozen: it has no trained weights" in lines


def test_a_damaged_adapter_is_named_once(analysed, store, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(store / "cells", damaged / "cells")
    (adapter,) = damaged.glob("cells/*/tiny/lora-*/adapter.safetensors")
    adapter.write_bytes(adapter.read_bytes()[:100])
    code, lines, _, table = analysed("contribution", "-m", "lora,frozen", "--store", damaged)
    assert code == 0 and set(table.task) == {"tiny_x2"}
    (line,) = (line for line in lines if line.startswith("not applicable: ") and "lora" in line)
    assert line.startswith("not applicable: ipt-nano · lora · tiny · seed 0: its weights are missing or damaged: ")


@pytest.mark.parametrize("name", NAMES)
def test_without_cells_there_is_one_line(name, lab, tmp_path, capsys):
    code, _, err = command(capsys, "analyse", name, "--store", tmp_path / "none")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds no finished cell" in err


def test_an_unknown_analysis_names_the_nearest(capsys, tmp_path):
    code, _, err = command(capsys, "analyse", "furier", "--store", tmp_path)
    assert (code, err) == (2, "petlir: unknown analysis 'furier'; did you mean 'fourier'?\n")

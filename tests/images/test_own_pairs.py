"""Test a user's folder of pairs, from training to restored images; the contents of the folder determine the key."""

import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.images.reading import read_image
from petlir.benchmark.records.files import read_record
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from tests.helpers.deep_images import deep_files
from tests.helpers.engine import PLUGIN, Lab, command, draw, save


def photos(root: Path, scale: int = 1, shift: int = 0) -> Path:
    """Write pairs whose degraded images are smaller by `scale`, halved in value and raised by 24 grey levels."""
    for part, count in (("train", 6), ("test", 2)):
        for number in range(count):
            clean = draw([shift, len(part), number], 64 * scale, 72 * scale)
            save(root / part / "GT" / f"{number}_gt.png", clean)
            small = np.array(PIL.Image.fromarray(clean).resize((72, 64)))
            save(root / part / "LQ" / f"{number}_lq.png", small // 2 + 24)
    return root


@pytest.mark.parametrize(("scale", "name"), [(1, "pairs:holiday"), (2, "pairs:holiday:x2")])
def test_a_folder_of_pairs_becomes_an_adapter_that_restores(lab, tmp_path, capsys, scale, name):
    folder, store = photos(tmp_path / "holiday", scale), tmp_path / "store"
    outcome = lab.run(store, tasks=f"pairs:{folder}", methods="lora", steps=20)
    assert outcome.states == {"done": 1}
    (path,) = Store(store).files()
    record = read_record(path)
    pattern = name.replace("holiday", "holiday-[0-9a-f]{8}")
    assert re.fullmatch(pattern, record.cell.task)
    assert record.key_components["task"] == record.cell.task
    assert record.cell.data_label == "own pairs"
    assert [score.image for score in record.images] == ["0_gt", "1_gt"]
    assert str(tmp_path) not in path.read_text()
    code, out, _ = command(
        capsys, "restore", folder / "test/LQ", tmp_path / "out", "--adapter", path.parent, "--device", "cpu"
    )
    assert (code, out) == (0, f"2 images in {tmp_path / 'out'}\n")
    for number in range(2):
        again = read_image(tmp_path / "out" / f"{number}_lq.png")
        kept = read_image(path.parent / "restored/holiday-test" / f"{number}_gt.png")
        assert again.shape == (64 * scale, 72 * scale, 3)
        assert abs(again.astype(int) - kept).max() <= 1


def planner(lab: Lab, folder: Path) -> Planner:
    return Planner(lab.request(tasks=f"pairs:{folder},tiny", methods="lora"))


def test_rates_and_keys_are_those_of_the_images_and_not_of_the_folders_name(lab, tmp_path):
    one, two = planner(lab, photos(tmp_path / "a/mine")), planner(lab, photos(tmp_path / "b/mine", shift=1))
    same = planner(lab, photos(tmp_path / "c/mine"))
    own, tiny = one.cells
    assert [str(cell) for cell in one.cells] == [str(cell) for cell in same.cells]
    assert str(own) != str(two.cells[0])  # other images never make one column
    assert one.selection_context(own) == same.selection_context(own) != two.selection_context(two.cells[0])
    assert one.plan(own).key == same.plan(own).key != two.plan(two.cells[0]).key
    assert one.selection_context(tiny) == two.selection_context(tiny) != one.selection_context(own)


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    """Compute the PSNR in dB for values up to 65535, by its definition."""
    return float(10 * np.log10(65535**2 / np.mean((image.astype(float) - clean) ** 2)))


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_pairs_of_16_bits_are_planned_run_and_scored_against_their_own_peak(lab, tmp_path, capsys, kind):
    folder, tests = tmp_path / "deep", []
    for part, count in (("train", 3), ("test", 2)):
        for number in range(count):
            clean = draw([5, len(part), number], 64, 72).astype(np.uint16) * 257 + np.uint16(number)
            noisy = clean // 2 + np.uint16(6000)
            tests += [(noisy, clean)] if part == "test" else []
            for side, pixels in (("clean", clean), ("noisy", noisy)):
                (folder / part / side).mkdir(parents=True, exist_ok=True)
                (folder / part / side / f"{number}.{kind}").write_bytes(deep_files(pixels)[kind])
    chosen = ("-t", f"pairs:{folder}", "-m", "frozen", "-b", "ipt-nano", "--plugin", PLUGIN, "--data", lab.data)
    code, out, err = command(capsys, "plan", *chosen, "--store", tmp_path / "plan", "--device", "cpu")
    assert code == 0 and "missing" in out, err
    assert lab.run(tmp_path / "store", tasks=f"pairs:{folder}", methods="frozen").states == {"done": 1}
    (path,) = Store(tmp_path / "store").files()
    record = read_record(path)
    assert record.cell.data_label == "own pairs, 16 bits a channel: PSNR against the peak 65535"
    in_8_bits = [psnr(np.rint(noisy / 257) * 257, clean) for noisy, clean in tests]  # as the protocol rounds inputs
    assert [score.input for score in record.rows("psnr")] == pytest.approx(in_8_bits, abs=1e-3)
    code, out, _ = command(capsys, "score", folder / "test" / "noisy", folder / "test" / "clean")
    own = np.mean([psnr(noisy, clean) for noisy, clean in tests])
    assert code == 0 and f"{own:.2f} dB" in out and "peak 65535 (16 bit)" in out

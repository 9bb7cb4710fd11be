"""From a user's folder of pairs to an adapter and restored images; what stands behind a folder's name is in the key."""

import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.images.reading import read_image
from petlir.benchmark.records.files import read_record
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from tests.helpers.engine import Lab, command, draw, save


def photos(root: Path, scale: int = 1, shift: int = 0) -> Path:
    """Pairs that differ by 24 grey levels, and by the scale."""
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

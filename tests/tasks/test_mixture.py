"""Test that a mixture consists of its parts: their images, their scores, their crops."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from petlir.benchmark.cells.adapted_model import sampler
from petlir.benchmark.images.patches import MixedSampler
from petlir.benchmark.images.prepare import test_pairs as pairs_of
from petlir.benchmark.images.prepare import validation_pairs
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from petlir.tasks.mixture import MIXTURE
from tests.helpers.engine import results
from tests.helpers.version_1 import flat


@pytest.mark.parametrize("pairs", [pairs_of, validation_pairs])
def test_its_images_are_those_of_its_parts(pairs):
    found = pairs(MIXTURE, "demo", None)
    for part in MIXTURE.parts:
        mine = [pair for pair in found if pair.set.startswith(f"{part.name}/")]
        theirs = pairs(part, "demo", None)
        assert [pair.set for pair in mine] == [f"{part.name}/{pair.set}" for pair in theirs]
        assert {pair.protocols for pair in mine} == {part.protocols}
        for one, other in zip(mine, theirs, strict=True):
            assert np.array_equal(one.degraded, other.degraded)
            assert np.array_equal(one.clean, other.clean)


class Constant:
    """A sampler of crops with a constant value."""

    def __init__(self, value: int) -> None:
        self.value = value

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        crops = torch.full((4, 3, 2, 2), float(self.value))
        return crops, crops + 0.5


def test_every_crop_is_as_likely_of_each_part_and_stays_with_its_clean_one():
    mixed = MixedSampler([Constant(value) for value in range(3)], seed=0)
    batches = [mixed.batch(step) for step in range(300)]
    drawn = torch.cat([degraded[:, 0, 0, 0] for degraded, _ in batches])
    assert all(torch.equal(clean, degraded + 0.5) for degraded, clean in batches)
    assert chisquare(drawn.long().bincount().numpy()).pvalue > 0.001
    assert torch.equal(mixed.batch(7)[0], batches[7][0])


def test_a_crop_is_one_of_a_part(lab):
    (cell,) = Planner(lab.request(tasks="tiny_mix")).cells
    context = lab.context()
    degraded, _ = sampler(cell, context).batch(3)
    parts = [sampler(cell.on(name), context).batch(3)[0] for name in ("tiny", "tiny_y")]
    assert all(any(torch.equal(crop, part[row]) for part in parts) for row, crop in enumerate(degraded))


def test_a_network_scores_on_it_as_on_its_parts(lab, tmp_path):
    lab.run(tmp_path, methods="frozen,lora", tasks="tiny,tiny_y,tiny_mix")
    found = results(tmp_path)
    mixed = flat(found["frozen tiny_mix"]["scores"])
    for part, protocol in (("tiny", "rgb"), ("tiny_y", "y")):
        theirs = [row | {"set": f"{part}/{row['set']}"} for row in flat(found[f"frozen {part}"]["scores"])]
        assert [row for row in mixed if row["set"].startswith(f"{part}/")] == theirs
        assert {row["protocol"].partition("@")[0] for row in theirs} == {protocol}
    assert found["lora tiny_mix"]["state"] == "done"
    record = next(r for r in Store(tmp_path).records() if r.cell.task == "tiny_mix")
    assert record.cell.degradation.count("GaussianNoise") == 2


def test_what_is_there_for_testing_is_not_trained_on(lab, tmp_path):
    lab.run(tmp_path, methods="frozen,lora", tasks="aside")
    found = results(tmp_path)
    assert found["frozen aside"]["state"] == "done"
    assert (found["lora aside"]["state"], found["lora aside"]["reason"]) == (
        "not-applicable", "aside is only for testing methods trained on other tasks",
    )  # fmt: skip

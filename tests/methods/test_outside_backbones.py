"""Test every method on backbones of users: it works, or states in one line why it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from petlir.benchmark import grid
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.contract.toy_model import CLOSE, ToyTrial, alive, apart
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.training.adaptation import merge
from tests.helpers.engine import PLUGIN

FILE = Path(__file__).parents[1] / "helpers" / "plugins" / "outside.py"
PLUGINS = find([FILE])
NAMES = ("normless", "convolutional", "single-head")
SITED = {"lora", "uir-lora", *(name for name in PLUGINS.methods if name.startswith("peft:"))}
"""Methods that select sites by name. The networks have no query, so these methods refuse without `sites`."""
FITTING = {"fact": "fact[rank=4]", "partial": "partial[where=encoder]"}
"""Options that fit the networks, which are narrower than FacT's rank and have only an encoder and a middle."""
MATRICES = {"fact", "colora", "repadapter", *SITED}
NOWHERE: Mapping[str, set[str]] = {
    "normless": {"ssf", "norm-tune"},
    "convolutional": MATRICES,
    "single-head": set(),
}
"""Backbone → methods that cannot work on it, since they scale or train norms, or add a matrix to a projection."""
ANYWHERE = {"vpt", "cascade"}
"""Methods that work on none of these backbones: they need tokens, or two heads with their own weights."""


def methods() -> Iterator[tuple[str, Method]]:
    """Yield each method with options that fit small networks."""
    for name in PLUGINS.methods:
        text = f"{name}[sites=all]" if name in SITED else FITTING.get(name, name)
        (method,) = grid.methods(text, PLUGINS.methods)
        yield name, method


@pytest.mark.parametrize("backbone", NAMES)
def test_every_method_works_or_says_why_not(backbone):
    """A method works if it trains something and merging keeps its output."""
    reasons, builder = {}, partial(alive, partial(PLUGINS.build, backbone))
    for name, method in methods():
        with without_memory():
            reason = method.supports(PLUGINS.build(backbone))
        if reason is not None:
            reasons[name] = reason
            continue
        trial = ToyTrial(method, builder)
        adapted = trial.adapted()
        if method.trains:
            trial.train(adapted)
            assert adapted.trainable(), name
        before = trial.output(adapted.backbone)
        merge(adapted.backbone)
        assert apart(trial.output(adapted.backbone), before) <= CLOSE, name
    assert reasons.keys() - _refused_by_peft(reasons) == ANYWHERE | NOWHERE[backbone]
    assert all(backbone in reason or name.startswith("peft:") for name, reason in reasons.items())
    assert not any("\n" in reason for reason in reasons.values())


def _refused_by_peft(reasons: Mapping[str, str]) -> set[str]:
    """Return the tuners for which peft itself reports that they cannot handle layers of these sizes."""
    return {name for name, reason in reasons.items() if reason.startswith("peft:")}


@pytest.mark.parametrize(("backbone", "size"), [*((name, "") for name in NAMES), ("convolutional", "@1k")])
def test_no_method_and_no_task_ends_a_grid(lab, backbone, size):
    """Tasks are not applicable if no head has their scale, and neither are cells that require cells on such tasks."""
    request = lab.request(backbones=f"{backbone}:none", methods=f"*{size},uir-lora[sites=all]", tasks="*")
    context = lab.context(plugin_files=(str(PLUGIN), str(FILE)))
    planner = Planner(type(request)(**{**vars(request), "context": context}))
    tasks = context.plugins.tasks
    obstacles = {(cell.label, cell.task): planner.obstacle(cell) for cell in planner.cells}
    for (_, task), obstacle in obstacles.items():
        if tasks[task].scale > 1:
            assert f"{backbone}:none has no head for task '{task}' (scale {tasks[task].scale})" in str(obstacle)
    assert obstacles["frozen", "tiny"] is obstacles["full-ft", "denoise_30"] is None
    cells = {(cell.label, cell.task): cell for cell in planner.cells}
    if backbone != "convolutional":
        mixed = cells["uir-lora[sites=all]", "tiny"]
        needs = tuple(planner.plan(need) for need in planner.required(mixed))
        assert "· sr_x4 · seed 0, which is not applicable" in str(planner.plan(mixed, needs).obstacle)


def test_a_grid_on_them_is_run_to_its_end(lab, tmp_path):
    """Methods that cannot work leave a reason, and the others leave scores."""
    asked = lab.request(backbones="normless:none,single-head:none", methods="frozen,ssf", tasks="tiny,tiny_x2")
    context = lab.context(plugin_files=(str(PLUGIN), str(FILE)))
    outcome = runner.run(type(asked)(**{**vars(asked), "context": context}), tmp_path, device="cpu", workers=1)
    assert outcome.states == {"done": 3, "not-applicable": 5}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

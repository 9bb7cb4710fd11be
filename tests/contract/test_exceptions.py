"""Test that any exception in a plugin counts as a failure and never ends the check with exit code 0."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract import POINTS, examine, findings
from petlir.benchmark.contract.global_state import defined_by, functions, preserved, replaced
from petlir.benchmark.contract.toy_model import ToyTrial, tiny
from petlir.benchmark.contract.trial import LIMIT
from petlir.benchmark.signals import Interrupted
from tests.contract.sound import Sound, first
from tests.helpers.engine import command

SOURCE = '''
from dataclasses import dataclass
from petlir import Method, Paper

{before}

@dataclass(frozen=True)
class Exits(Method):
    """Leaves."""

    name = "exits"
    idea = "It leaves."
    paper = Paper("A title", "Someone", "2024", "@misc{{someone}}")

    {inside}

    def adapt(self, backbone):
        {adapt}
'''
ODD = "class Odd(BaseException): ..."
MUTE = "class Mute(Exception):\n    def __str__(self): raise ValueError"
FLIP = "import itertools; ANSWERS = itertools.cycle([None, 'no'])"
EXIT = "raise SystemExit(0)"


@pytest.mark.parametrize(
    ("code", "parts", "said"),
    [
        (1, {"adapt": EXIT}, "FAIL ipt: trains what it says: SystemExit: 0"),
        (1, {"inside": f"def supports(self, backbone): {EXIT}"}, "FAIL ipt: supported: SystemExit: 0"),
        (1, {"inside": "def supports(self, backbone): return ''"}, "FAIL ipt: supported: supports() returns ''"),
        (2, {"inside": f"def __post_init__(self): {EXIT}"}, "cannot be built: SystemExit: 0"),
        (2, {"before": EXIT}, "raised SystemExit: 0"),
        (1, {"adapt": "import os; os._exit(0)"}, "FAIL ipt: trains what it says: SystemExit: os._exit(0)"),
        (1, {"before": "from posix import _exit", "adapt": "_exit(0)"}, "trains what it says: SystemExit: os._exit(0)"),
        (2, {"before": "import os; os._exit(0)"}, "raised SystemExit: os._exit(0)"),
        (1, {"before": "class Odd(Exception): ...", "adapt": "raise Odd('so')"}, "trains what it says: Odd: so"),
        (1, {"before": ODD, "adapt": "raise Odd('so')"}, "trains what it says: Odd: so"),
        (1, {"before": ODD, "inside": "def supports(self, backbone): raise Odd('so')"}, "supported: Odd: so"),
        (2, {"before": ODD, "inside": "def __post_init__(self): raise Odd('so')"}, "cannot be built: Odd: so"),
        (1, {"adapt": "raise KeyboardInterrupt"}, "trains what it says: KeyboardInterrupt: no message"),
        (1, {"adapt": "raise GeneratorExit"}, "trains what it says: GeneratorExit: no message"),
        (2, {"before": "raise GeneratorExit"}, "cannot be imported: GeneratorExit"),
        (1, {"before": MUTE, "adapt": "raise Mute"}, "trains what it says: Mute: no message"),
        (1, {"before": FLIP, "inside": "def supports(self, backbone): return next(ANSWERS)"}, "None and 'no'"),
        (1, {"inside": "def requires(self, cell): return None"}, "requires() returns None, expected a list of cells"),
        (1, {"inside": "def requires(self, cell): return [cell.of(self)]"}, "requires() returns the cell itself"),
        (2, {"before": "import torch; torch.manual_seed(3)"}, "changes torch's global random numbers"),
        (2, {"before": "import math; math.sin = math.cos"}, "exits.py changes math.sin"),
    ],
)
def test_a_plugin_that_exits_fails(code, parts, said, tmp_path, capsys):
    file = tmp_path / "exits.py"
    file.write_text(SOURCE.format(**{"before": "", "inside": "", "adapt": "pass"} | parts))
    with preserved(functions()):
        found, out, err = command(capsys, "contract", f"{file}:Exits", "-b", "ipt")
    assert found == code
    assert said in out + err


@dataclass(frozen=True)
class Loops(Sound):
    """A method that never ends."""

    def adapt(self, backbone: Backbone) -> None:
        while True:
            pass


def test_a_method_that_never_ends_fails_and_is_not_run_again():
    endless = ToyTrial(Loops(), tiny)
    assert endless.limit == LIMIT, "the limit of a network of less than a million weights"
    endless.limit = 0.1
    assert examine("trains what it says", endless).detail == "not finished after 0.1 seconds"
    assert examine("merges exactly", endless).detail == "not checked: an earlier check was not finished in time"


def test_the_user_can_interrupt_a_check():
    interrupts = ToyTrial(Interrupts(), tiny)
    with pytest.raises(Interrupted):
        examine("trains what it says", interrupts)


@dataclass(frozen=True)
class Interrupts(Sound):
    """A method during whose `adapt` the user presses Ctrl-C."""

    def adapt(self, backbone: Backbone) -> None:
        signal.raise_signal(signal.SIGINT)


@dataclass(frozen=True)
class Convolves(Sound):
    """A method that adds a convolution parallel to the mlp without converting the layout."""

    def adapt(self, backbone: Backbone) -> None:
        block = next(backbone.blocks())
        block.mlp.parallel(nn.Conv2d(block.width, block.width, 3, padding=1))


@dataclass(frozen=True)
class Normalises(Sound):
    """A method that adds a batch norm for maps parallel to the mlp."""

    def adapt(self, backbone: Backbone) -> None:
        block = next(backbone.blocks())
        block.mlp.parallel(nn.BatchNorm2d(block.width))


@pytest.mark.parametrize("method", [Convolves(), Normalises()], ids=lambda method: type(method).__name__)
def test_a_module_for_maps_on_tokens_hints_at_on_map(method):
    assert "OnMap(module, block.layout)" in examine("gradients reach all", ToyTrial(method, tiny)).detail


@dataclass(frozen=True)
class MovesFrozen(Sound):
    """A method whose module changes a frozen weight whenever it is evaluated."""

    def adapt(self, backbone: Backbone) -> None:
        super().adapt(backbone)
        weight = next(backbone.blocks()).mlp.norm.module.get_parameter("weight")
        first(backbone).register_forward_hook(lambda module, *_: None if module.training else weight.data.mul_(1.1))


def test_what_moves_in_evaluation_does_not_read_as_a_merge_failure():
    found = {one.name: one for one in findings(ToyTrial(MovesFrozen(), tiny))}
    assert [name for name, one in found.items() if not one.passed] == ["frozen weights stay"]
    assert "changed by evaluation" in found["frozen weights stay"].detail
    assert not found["merges exactly"].applicable
    assert set(found) == set(POINTS)


def test_functions_are_put_back_after_each_point():
    before = functions()
    with preserved(before):
        torch.nn.functional.__dict__["celu"] = lambda *_: None
        setattr(torch.nn.Linear, "forward", lambda *_: None)  # noqa: B010
        assert {name for _, name in replaced(before)} == {"celu", "forward", "_exit"}, "the last by `preserved` itself"
    assert replaced(before) == {}


def test_functions_of_a_plugin_in_torch_are_found(monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "celu", lambda features: features)
    assert defined_by(__name__, functions()) == ["torch.nn.functional.celu"]
    assert defined_by("elsewhere", functions()) == []

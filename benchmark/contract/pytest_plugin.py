"""Contract checks as pytest tests, for plugins in any repository: `pytest --petlir-contract my_method.py:MyMethod`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from petlir.benchmark.contract.backbone_points import BackboneTrial
    from petlir.benchmark.contract.toy_model import ToyTrial


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command-line options of the contract tests."""
    group = parser.getgroup("petlir")
    group.addoption(
        "--petlir-contract",
        metavar="TARGET",
        action="append",
        default=[],
        help="what to test: FILE.py:Class, a method as written in a grid, or a backbone family; may be repeated",
    )
    group.addoption(
        "--petlir-backbone", metavar="NAMES", default="*", help="backbone families or backbones; * for all families"
    )


@pytest.hookimpl(tryfirst=True)  # before other plugins deselect by name or mark
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each target, backbone and contract point."""
    from petlir.benchmark.errors import PetlirError

    try:
        for target in config.getoption("--petlir-contract"):
            items.extend(_points(session, target, config.getoption("--petlir-backbone")))
    except PetlirError as error:
        raise pytest.UsageError(str(error)) from error


def _points(session: pytest.Session, target: str, backbones: str) -> Iterator[pytest.Item]:
    from petlir.benchmark.contract import points, trials

    for backbone, trial in trials(target, backbones).items():
        for point in points(trial):
            name = f"{target}[{backbone}: {point}]"
            yield ContractItem.from_parent(session, name=name, point=point, trial=trial)


class ContractItem(pytest.Item):
    """A test of one contract point on one network; the test is skipped if a method does not support the network."""

    def __init__(self, name: str, parent: pytest.Session, *, point: str, trial: ToyTrial | BackboneTrial) -> None:
        super().__init__(name, parent, nodeid=name)
        self.point, self.trial = point, trial

    def runtest(self) -> None:
        """Check the contract point of this test."""
        from petlir.benchmark.contract import examine, unsupported

        finding = unsupported(self.trial) or examine(self.point, self.trial)
        if not finding.applicable:
            pytest.skip(finding.detail)
        if not finding.passed:
            pytest.fail(finding.detail, pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the path and the name of the test for pytest's report."""
        return self.path, None, self.name

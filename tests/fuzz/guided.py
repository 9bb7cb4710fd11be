"""The properties of test_fuzz.py on inputs that atheris derives from code coverage.

Run `python -m tests.fuzz.guided NAME [-runs=10000 …]`, where NAME is grids, records, leases, archives, weights or
folders; further arguments go to libFuzzer. It needs atheris, which has wheels for Linux only; `nox -s fuzz` installs
it.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["petlir"]):
    from tests.fuzz import test_fuzz

if __name__ == "__main__":
    program, name, *flags = sys.argv
    atheris.Setup([program, *flags], getattr(test_fuzz, f"test_{name}").hypothesis.fuzz_one_input)
    atheris.Fuzz()

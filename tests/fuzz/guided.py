"""The properties of test_fuzz.py with inputs that atheris guides by coverage.

`python -m tests.fuzz.guided NAME [-runs=10000 …]`, NAME one of grids, records, leases, archives, weights, folders;
what follows goes to libFuzzer. Needs `pip install atheris`, which has wheels for Linux alone; `nox -s fuzz` does so.
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

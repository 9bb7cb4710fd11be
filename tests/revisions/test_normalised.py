"""Test the normalised code: it keeps what affects results and drops the rest, on every Python version alike."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petlir.benchmark.revisions.normalised import digest, normalised
from petlir.benchmark.revisions.table import PACKAGE, source_files

CODE = '''
"""A module."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

LIMIT: int = 3
"""A bare string."""


@dataclass(frozen=True)
class Thing:
    """A thing."""

    rank: int = 4
    name: ClassVar[str] = "thing"

    def scaled(self, by: float, *more: float, plain: bool = False) -> float:
        """Scale."""
        if by < 0:
            raise ValueError("by " f"{by} of {'it'}")
        value: float = self.rank * by  # a comment
        return value if not plain else f"{value!r:>{LIMIT}}"
'''
SAME = {
    "a comment": ("LIMIT: int = 3", "LIMIT: int = 3  # at most"),
    "a docstring": ('"""Scale."""', '"""Return it scaled."""'),
    "no docstring": ('        """Scale."""\n', ""),
    "an annotation": ("by: float", "by: int"),
    "no annotation": ("LIMIT: int = 3", "LIMIT = 3"),
    "a result's annotation": ("-> float:", "-> complex:"),
    "a field's type": ("rank: int", "rank: float"),
    "an import": ("from dataclasses", "import os\nfrom dataclasses"),
    "another spelling": ("LIMIT: int = 3", "LIMIT: int = 0x3"),
    "a citation": ("    rank: int", '    paper = Paper.from_bib(__file__, "hu2022lora")\n    rank: int'),
    "a description": ("    rank: int", '    idea = "Scales."\n    rank: int'),
    "an error's wording": ('"by " f"{by} of {\'it\'}"', '"it must be positive"'),
    "blank lines": ("    rank", "\n\n    rank"),
}
OTHER = {
    "a constant": ("LIMIT: int = 3", "LIMIT: int = 4"),
    "a default": ("rank: int = 4", "rank: int = 5"),
    "a field that is none": ("rank: int = 4", "rank: ClassVar[int] = 4"),
    "a class attribute that is no field": ("rank: int = 4", "rank = 4"),
    "an operator": ("self.rank * by", "self.rank + by"),
    "a decorator's option": ("frozen=True", "frozen=False"),
    "a default argument": ("plain: bool = False", "plain: bool = True"),
    "a type of constant": ("LIMIT: int = 3", "LIMIT: int = 3.0"),
    "the class of an error": ("raise ValueError(", "raise TypeError("),
    "the condition of an error": ("by < 0", "by < 1"),
    "a format": (":>{LIMIT}", ":<{LIMIT}"),
    "a statement's order": ("    rank: int = 4\n    name: ClassVar[str] = \"thing\"\n",
                            "    name: ClassVar[str] = \"thing\"\n    rank: int = 4\n"),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME)
def test_what_computes_the_same_has_the_same_digest(change):
    before, after = SAME[change]
    assert before in CODE
    assert digest(CODE.replace(before, after)) == digest(CODE)


@pytest.mark.parametrize("change", OTHER)
def test_what_computes_something_else_has_another_digest(change):
    before, after = OTHER[change]
    assert before in CODE
    assert digest(CODE.replace(before, after)) != digest(CODE)


@settings(max_examples=20)
@given(st.data())
def test_comments_anywhere_keep_every_digest(data):
    path = data.draw(st.sampled_from(source_files()))
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join([*lines, data.draw(st.text("abc #'\"").map(lambda comment: f"# {comment}"))])
    assert digest(text) == digest(path.read_bytes())


def test_the_digest_is_the_committed_one_on_every_version():
    """The digest is a golden value: if it differed between Python versions, keys would depend on the version in use."""
    assert digest(CODE) == "2ca411f7c38f0195e06ce577e5601551534dfaee3183bb9c0060919cb548aa7f"
    assert normalised("x = 'ä', b'\\xff', 1e-3, None, ...\n") == (
        '[(Assign targets=[(Name id="x")] value=(Tuple elts=[(Constant value="\\u00e4") (Constant value=bytes:ff) '
        "(Constant value=0.001) (Constant value=None) (Constant value=Ellipsis)]))]"
    )


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_another_python_finds_the_same_digests(version):
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", "pass"], capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    code = (
        "import json, runpy, sys\n"
        f"digest = runpy.run_path({str(PACKAGE / 'benchmark/revisions/normalised.py')!r})['digest']\n"
        "print(json.dumps([digest(open(path, 'rb').read()) for path in sys.argv[1:]]))"
    )
    files = source_files()
    ended = subprocess.run([python, "-c", code, *map(str, files)], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == [digest(path.read_bytes()) for path in files]

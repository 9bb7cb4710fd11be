"""Writes the start of a new method or task: a file that works as it is, to be changed from there."""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path
from string import Template

from petlir.benchmark.errors import PetlirError

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
METHOD = Template('''\
"""$title: a bottleneck beside every feed-forward, to start from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method, Paper
from petlir.benchmark.layers.pointwise import Bottleneck


@dataclass(frozen=True)
class $class_name(Method):
    """A bottleneck parallel to the mlp of every block.

    Attributes:
        rank: channels of the bottleneck.
    """

    name = "$name"
    idea = "A small bottleneck runs beside every feed-forward."
    paper = Paper("$title", "unpublished", "", "@misc{$key, title={$title}}")
    size = "rank"

    rank: int = 4

    def adapt(self, backbone: Backbone) -> None:
        """Put a bottleneck beside each mlp; `after` and `site.replace` are the other places."""
        for block in backbone.blocks():
            block.mlp.parallel(Bottleneck(block, self.rank, nn.ReLU()))
''')
TASK = Template('''\
"""$title: Gaussian noise of σ 20, to start from."""

from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.task import Data, Task

$variable = Task(
    name="$name",
    title="$title",
    degradation=GaussianNoise(20),
    protocols=("rgb",),
    data={"demo": Data("leaves-train", "leaves-validation", ("leaves-test", "photographs"))},
)
''')


def new_method(name: str, folder: Path) -> Path:
    """Write the start of a method, which passes the contract, as `folder`/name.py.

    Raises:
        PetlirError: the name is none, or the file exists.
    """
    return _write("method", name, folder, METHOD)


def new_task(name: str, folder: Path) -> Path:
    """Write the start of a task on the `demo` track as `folder`/name.py.

    Raises:
        PetlirError: the name is none, or the file exists.
    """
    return _write("task", name, folder, TASK)


def _write(kind: str, name: str, folder: Path, template: Template) -> Path:
    key = name.replace("-", "_")
    if not NAME.fullmatch(name) or iskeyword(key):
        raise PetlirError(f"{kind} name {name!r}: expected lower-case words with hyphens or _, e.g. my-{kind}")
    words = key.split("_")
    text = template.substitute(
        name=name,
        key=key,
        variable=key.upper(),
        title=" ".join(words).capitalize(),
        class_name="".join(word.capitalize() for word in words),
    )
    path = folder / f"{key}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise PetlirError(f"{path} exists already; choose another name or folder") from None
    except OSError as error:
        raise PetlirError(f"cannot write {path}: {error.strerror}") from error
    return path

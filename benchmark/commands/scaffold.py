"""Templates of new methods, backbones and tasks: working files to start from."""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path
from string import Template

from petlir.benchmark.errors import PetlirError, unknown

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
METHOD = Template('''\
"""$title: a bottleneck parallel to every feed-forward, to start from."""

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
    idea = "A small bottleneck runs parallel to every feed-forward."
    paper = Paper("$title", "unpublished", "", "@misc{$key, title={$title}}")
    size = "rank"

    rank: int = 4

    def adapt(self, backbone: Backbone) -> None:
        """Add a bottleneck parallel to each mlp; `after` and `site.replace` are alternatives."""
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
BACKBONE = Template('''\
"""$title: a small residual network of 1×1 and depthwise convolutions, to start from."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from petlir.benchmark.backbone import AdapterHooks, Backbone, Block, Branch, Site
from petlir.benchmark.backbones.maps import ChannelNorm, MapLayout


class Layer(nn.Module):
    """A mixer of positions and an mlp over channels, each after a norm and with hooks for adapters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.value, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up, self.down = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        self.act = nn.GELU()
        self.mixer, self.mlp = AdapterHooks(), AdapterHooks()

    def mix(self, normed: Tensor) -> Tensor:
        """Mix neighbouring positions of normed features."""
        mixed: Tensor = self.out(self.depthwise(self.value(normed)))
        return mixed

    def feed(self, normed: Tensor) -> Tensor:
        """Mix the channels of normed features."""
        fed: Tensor = self.down(self.act(self.up(normed)))
        return fed

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W features to features of the same shape."""
        features = features + self.mixer(self.mix, self.norm1, features)
        result: Tensor = features + self.mlp(self.feed, self.norm2, features)
        return result


class $class_name(Backbone):
    """A chain of layers between two convolutions, for images of any size.

    Args:
        width: channels of the features.
        depth: layers.
    """

    name = "$name"

    def __init__(self, width: int = 48, depth: int = 8) -> None:
        super().__init__()
        self.heads, self.window, self.width = {"restore": 1}, None, width
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))

    @classmethod
    def small(cls) -> $class_name:
        """Return the network on which contracts are checked."""
        return cls(width=8, depth=2)

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×H×W images in [0, 1]; an unknown head is refused."""
        self.head_index(head)
        features = self.first(images)
        for layer in self.layers:
            features = layer(features)
        restored: Tensor = images + self.last(features)
        return restored

    def blocks(self) -> Iterator[Block]:
        """Yield a block for each layer: the places where methods insert modules."""
        for index, layer in enumerate(self.layers):
            branches = (
                Branch.of(layer, "mixer", "norm1", (("value", "value"), ("out", "out"))),
                Branch.of(layer, "mlp", "norm2", (("up", "up"), ("down", "down"))),
            )
            yield Block(f"layers.{index}", self.width, branches, MapLayout(), Site("block", self.layers, str(index)))

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield all parameters: there is one head."""
        yield from self.parameters()

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the last convolution."""
        yield from self.last.parameters()
''')
NEXT = {
    "method": "petlir contract {path}:{class_name}",
    "backbone": "petlir contract {path}:{class_name}",
    "task": "petlir run --plugin {path} -m frozen,lora -t {name}",
}
"""The command with which to try a new file, by the kind of plugin in the file."""


def new(kind: str, name: str, folder: Path) -> Path:
    """Write a template of a method, backbone or task to a file `name`.py in `folder`; the template passes its contract.

    Raises:
        PetlirError: the kind of plugin is unknown, the name is invalid, or the file exists.
    """
    templates = {"method": METHOD, "backbone": BACKBONE, "task": TASK}
    if kind not in templates:
        raise unknown("kind", kind, templates)
    return _write(kind, name, folder, templates[kind])


def next_command(kind: str, name: str, path: Path) -> str:
    """Return the command with which to try the new file."""
    return NEXT[kind].format(path=path, class_name=_class_name(name), name=name)


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
        class_name=_class_name(name),
    )
    path = folder / f"{key}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise PetlirError(f"{path} already exists; choose another name or folder") from None
    except OSError as error:
        raise PetlirError(f"cannot write {path}: {error.strerror}") from error
    return path


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace("-", "_").split("_"))

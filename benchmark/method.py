"""The contract of PETL methods, which add a few trainable parameters to a frozen backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.paper import Paper as Paper

if TYPE_CHECKING:
    from torch import Tensor, nn

    from petlir.benchmark.backbone import Backbone
    from petlir.benchmark.cell import Cell
    from petlir.benchmark.task import Task

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""The initial learning rates tried in tuning, one trial each; every method has the same number of rates."""


@dataclass(frozen=True)
class Published:
    """A configuration reported in a paper, identified by its parameter count.

    Attributes:
        method: the method with the paper's options.
        parameters: the paper's count as printed, such as `995K`.
        note: how the count was derived, and open questions.
        ours: this implementation's count if the paper's count cannot be derived, or None if the two counts agree.
    """

    method: Method
    parameters: str
    note: str = ""
    ours: int | None = None


@runtime_checkable
class Mergeable(Protocol):
    """An inserted module that can be replaced by an ordinary module for inference."""

    def merged(self) -> nn.Module:
        """Return an ordinary module that computes the function of this module up to rounding, without extra cost."""


@runtime_checkable
class Branched(Protocol):
    """An inserted module whose output is composed of several branches; used by `petlir analyse response`."""

    def responses(self, features: Tensor) -> Mapping[str, Tensor]:
        """Return each branch's response to the module's input features, by name: an N×h×H×W map or N×h vectors.

        The values of a gate, in [0, 1], are returned under the name `NAME gate`.
        """


@runtime_checkable
class ImageRouter(Protocol):
    """A child module of the backbone that decides how each whole image is restored, before the image is tiled."""

    def passes(self, backbone: Backbone, image: Tensor, head: str | None) -> Generator[str | None]:
        """Yield the head of each pass that the network makes over a 1×3×H×W image to produce the output of `head`.

        Each pass takes the clipped output of the previous pass as input, and runs before the next head is requested.
        """


@dataclass(frozen=True)
class PriorResults:
    """Prior results available to a method that requires other cells.

    Attributes:
        adapters: trained tensors of each required cell by parameter name, in the order of `Method.requires`.
        batch: (task, index) → a training batch, degraded N×3×h×w and clean N×3×H×W in [0, 1].
        task: the task of the cell.
        head: the head that will be trained.
        stored: tensors of this cell if it is reloaded; the adapter's shapes are then taken from them, and the prior
            results are not analysed.
        validation: the validation images of the cell's task, degraded 1×3×h×w and clean 1×3×sh×sw in [0, 1].
        images: task → pairs of a whole training image, 1×3×h×w, degraded like a test image, and its clean image,
            1×3×sh×sw, both in [0, 1].
        heads: the head of each required cell.
    """

    adapters: tuple[Mapping[str, Tensor], ...] = ()
    batch: Callable[[str, int], tuple[Tensor, Tensor]] | None = None
    task: str = ""
    head: str = ""
    stored: Mapping[str, Tensor] | None = None
    validation: Callable[[], Sequence[tuple[Tensor, Tensor]]] | None = None
    images: Callable[[str], Iterable[tuple[Tensor, Tensor]]] | None = None
    heads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method(ABC):
    """A PETL method: a frozen dataclass whose fields are its options.

    The method's fields can be set in a grid (`lora[rank=4,8]`), and are part of the record and of the cell key. The
    engine freezes the backbone before `adapt`, and afterwards counts, trains, saves, loads and merges the trainable
    parameters.
    """

    name: ClassVar[str]
    """The method's name in the grid."""
    idea: ClassVar[str]
    """The one-sentence description on the method's documentation card."""
    paper: ClassVar[Paper | None] = None
    identity: ClassVar[bool] = True
    """True if, before training, the adapted network computes the same function as the frozen one."""
    sees_whole: ClassVar[bool] = False
    """True if the inserted modules have global operators (Fourier transforms, spatial softmax)."""
    trains: ClassVar[bool] = True
    """True if the method has trainable parameters; a method without any is a baseline."""
    reference: ClassVar[bool] = False
    """True if PETL methods are compared with this method; references are not ranked and never block a ranking."""
    tunes_backbone: ClassVar[bool] = False
    """True if the method trains all of the backbone's own weights and is therefore not a PETL method."""
    unfreezes: ClassVar[bool] = False
    """True if the method trains some of the backbone's own tensors (biases, norms, a tail)."""
    shared: ClassVar[bool] = False
    """True if the network uses the same trainable tensors in several places."""
    size: ClassVar[str | None] = None
    """The integer option that size-matched grids adjust to reach the requested number of parameters."""
    rates: ClassVar[tuple[float, ...]] = RATES

    def __post_init__(self) -> None:
        """Reject an invalid size or a wrong number of learning rates."""
        if len(set(self.rates)) != len(RATES):
            raise PetlirError(
                f"{self.name}: {len(set(self.rates))} learning rates, expected {len(RATES)} as for every method"
            )
        value = getattr(self, self.size) if self.size else None
        if value is not None and value < 1:
            raise PetlirError(f"{self.name}: {self.size} is {value}, expected a positive whole number")

    @abstractmethod
    def adapt(self, backbone: Backbone) -> None:
        """Insert trainable modules into the frozen `backbone`, or unfreeze some of its parameters, in place."""

    def requires(self, cell: Cell) -> list[Cell]:
        """Return the cells that must finish before `cell`, each created with `cell.of(method, task)`."""
        return []

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Adapt the backbone given the results of the required cells; by default, ignore them and call `adapt`."""
        self.adapt(backbone)

    def supports(self, backbone: Backbone) -> str | None:
        """Return the reason why this method cannot be applied to `backbone`, or None if it can."""
        return None

    def applies(self, task: Task) -> str | None:
        """Return the reason why this method is not meaningful for `task`, or None if it is meaningful."""
        return None

    def heads(self, backbone: Backbone, task: Task) -> tuple[str, ...]:
        """Return the heads that an image passes through, in order."""
        return (backbone.head_for(task),)

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Return name suffixes of the parameters whose gradient is zero by construction."""
        return ()

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return the configurations that papers report for this backbone."""
        return []

    def options(self) -> dict[str, object]:
        """Return the options by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def changed(self) -> dict[str, object]:
        """Return the options that differ from their defaults, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != _default(f)}

    @property
    def label(self) -> str:
        """The method's name with the options that differ from their defaults, such as `lora[rank=8]`."""
        changed = [f"{name}={spelled(value)}" for name, value in self.changed().items()]
        return f"{self.name}[{'; '.join(changed)}]" if changed else self.name


def _default(field: Field[object]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def spelled(value: object) -> str:
    """Format the value of an option as it is written in a grid."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)

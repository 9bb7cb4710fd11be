"""The contract of a method: what turns a frozen backbone into one with a few trainable parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.paper import Paper as Paper

if TYPE_CHECKING:
    from torch import Tensor, nn

    from petlir.benchmark.backbone import Backbone
    from petlir.benchmark.cell import Cell
    from petlir.benchmark.task import Task

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""The learning rates that tuning tries first, one trial each; every method has as many."""


@dataclass(frozen=True)
class Published:
    """A setting that a paper reports, by the parameter count that it gives.

    Attributes:
        method: the method with the paper's options.
        parameters: the paper's count, as printed, e.g. `995K`.
        note: what is derived or open about it.
        ours: our count where nothing derives the paper's; None where they agree.
    """

    method: Method
    parameters: str
    note: str = ""
    ours: int | None = None


@runtime_checkable
class Mergeable(Protocol):
    """An inserted module that folds into an ordinary one for inference."""

    def merged(self) -> nn.Module:
        """A module without extra cost that computes the same, to rounding."""


@runtime_checkable
class Branched(Protocol):
    """An inserted module whose output several branches make up; `petlir analyse response` asks them."""

    def responses(self, features: Tensor) -> Mapping[str, Tensor]:
        """What each branch, by name, makes of the features that the module gets: maps N×h×H×W, or N×h.

        Gates are there as `NAME gate`, with values in [0, 1].
        """


@dataclass(frozen=True)
class PriorResults:
    """What a method that requires other cells may look at before it adapts.

    Attributes:
        adapters: what each required cell has trained, by parameter name, in the order of `Method.requires`.
        batch: (task, index) → a training batch, degraded N×3×h×w and clean N×3×H×W in [0, 1].
        task: the task of the cell.
        head: the head that will be trained.
        stored: what this very cell has stored, where it is loaded again; its shapes then decide, nothing is studied.
        validation: the validation images of the cell's task, degraded 1×3×h×w and clean 1×3×sh×sw in [0, 1].
    """

    adapters: tuple[Mapping[str, Tensor], ...] = ()
    batch: Callable[[str, int], tuple[Tensor, Tensor]] | None = None
    task: str = ""
    head: str = ""
    stored: Mapping[str, Tensor] | None = None
    validation: Callable[[], Sequence[tuple[Tensor, Tensor]]] | None = None


@dataclass(frozen=True)
class Method(ABC):
    """A PETL method; a frozen dataclass whose fields are its options.

    The fields are the grid syntax (`lora[rank=4,8]`), the record and the cell key. The engine freezes the backbone
    before `adapt`, and afterwards counts, trains, saves, loads and merges what is trainable.
    """

    name: ClassVar[str]
    """Its name in the grid."""
    idea: ClassVar[str]
    """One sentence for its card."""
    paper: ClassVar[Paper | None] = None
    identity: ClassVar[bool] = True
    """Whether the adapted network computes what the frozen one did, before any training."""
    sees_whole: ClassVar[bool] = False
    """Whether what it inserts has operators over the whole of what it sees (Fourier transforms, spatial softmax)."""
    trains: ClassVar[bool] = True
    """Whether there is anything to train; a method without is a baseline."""
    reference: ClassVar[bool] = False
    """Whether PETL methods are measured by it; a reference is never ranked and blocks no ranking."""
    tunes_backbone: ClassVar[bool] = False
    """Whether it trains the backbone's own weights at large, and is no PETL method then."""
    unfreezes: ClassVar[bool] = False
    """Whether it trains some of the backbone's own tensors (biases, norms, a tail)."""
    shared: ClassVar[bool] = False
    """Whether trainable tensors stand at several places of the network."""
    size: ClassVar[str | None] = None
    """The integer option that grids of equal size solve for."""
    rates: ClassVar[tuple[float, ...]] = RATES

    def __post_init__(self) -> None:
        """Refuse an impossible size, and a grid of another number of learning rates."""
        if len(set(self.rates)) != len(RATES):
            raise PetlirError(f"{self.name}: {len(set(self.rates))} learning rates, expected {len(RATES)} as for all")
        value = getattr(self, self.size) if self.size else None
        if value is not None and value < 1:
            raise PetlirError(f"{self.name}: {self.size} is {value}, expected a whole number from 1 on")

    @abstractmethod
    def adapt(self, backbone: Backbone) -> None:
        """Insert trainable modules into the frozen `backbone`, or unfreeze some of its parameters, in place."""

    def requires(self, cell: Cell) -> list[Cell]:
        """The cells that must be finished before `cell`, each made with `cell.of(method, task)`."""
        return []

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """As `adapt`, knowing what the required cells have trained; methods that require none need not care."""
        self.adapt(backbone)

    def supports(self, backbone: Backbone) -> str | None:
        """Why this method cannot work on `backbone`, or None where it can."""
        return None

    def applies(self, task: Task) -> str | None:
        """Why this method has no meaning on `task`, or None where it has."""
        return None

    def heads(self, backbone: Backbone, task: Task) -> tuple[str, ...]:
        """The heads that an image goes through, one after the other."""
        return (backbone.head_for(task),)

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Endings of the names of parameters that by construction get no gradient."""
        return ()

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """The papers' settings on the backbone of this name."""
        return []

    def options(self) -> dict[str, object]:
        """The options by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def changed(self) -> dict[str, object]:
        """Return the options that differ from their defaults, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != _default(f)}

    @property
    def label(self) -> str:
        """The name with the options that differ from their defaults, e.g. `lora[rank=8]`."""
        changed = [f"{name}={spelled(value)}" for name, value in self.changed().items()]
        return f"{self.name}[{'; '.join(changed)}]" if changed else self.name


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def spelled(value: object) -> str:
    """The value of an option as a grid reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)

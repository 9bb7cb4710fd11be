"""What a method costs.

Sizes, bytes saved for backward and FLOPs are exact and need no GPU; times, peak memory and energy are
measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Size:
    """Parameters of a network, each shared tensor counted once; bytes as they lie in memory."""

    trainable: int
    total: int
    trainable_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes that training needs, by what for.

    Attributes:
        weights: parameters and buffers of the network.
        gradients: one for each trainable parameter.
        optimizer: AdamW's two moments of each trainable parameter.
        activations: what a step saves for backward.
        peak: the most that was allocated at once, measured; None where the device does not tell.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int | None


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of a training step: the median and the 95th percentile."""

    median: float
    p95: float


def count(network: nn.Module) -> Size:
    """How large the network is and how much of it is trained."""
    parameters = list(network.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return Size(_numel(trainable), _numel(parameters), _nbytes(trainable), _nbytes(parameters))


def memory(network: nn.Module, activations: int, peak: int | None) -> Memory:
    """The memory of training `network` with AdamW; `activations` and `peak` are bytes measured beforehand."""
    size = count(network)
    return Memory(
        weights=size.total_bytes + _nbytes(network.buffers()),
        gradients=size.trainable_bytes,
        optimizer=2 * size.trainable_bytes,
        activations=activations,
        peak=peak,
    )


def saved_for_backward_bytes(forward: Callable[[], object], leave_out: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps between the forward and the backward pass.

    A storage counts once and whole, however many tensors of it are saved.

    Args:
        forward: computes a loss; its backward pass may follow inside.
        leave_out: tensors that would be in memory anyway, as a rule the network's parameters and buffers.
    """
    held = {_address(tensor) for tensor in leave_out}
    # the storages stay referenced until all are counted, so that no address is used twice
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _address(tensor) not in held:
            saved[_address(tensor)] = tensor.untyped_storage()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in saved.values())


def flops_of_step(forward: Callable[[], Tensor]) -> int:
    """FLOPs of the forward and the backward pass of a loss: 2 for each multiplication with its addition.

    Matrix products, convolutions and attention are counted, by the formulas of `torch.utils.flop_counter`; element-wise
    work and Fourier transforms are not. Gradients are left in the network; see `undisturbed`.
    """
    with _Flops() as counted:
        torch.autograd.backward(forward())
    return int(counted.total)


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up every operation that has a formula.

    `FlopCounterMode` gives the same total, but follows the modules too, for which it imports the compiler: seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch's hook; True would import its compiler
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        from torch.utils.flop_counter import flop_registry

        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Leave no trace of what is measured inside: buffers, gradients and random numbers are as before."""
    buffers = [buffer.clone() for buffer in network.buffers()]
    gradients = [parameter.grad for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = None
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient


@dataclass
class StepTimer:
    """Times each `with timer:` block; on a GPU until its work is done.

    Attributes:
        seconds: what each step took, warm-up included.
        warm_up: steps at the start that the summary leaves out, since they load kernels and fill caches.
    """

    seconds: list[float] = field(default_factory=list)
    warm_up: int = 3
    _started: float = field(default=0.0, init=False, repr=False, compare=False)

    def __enter__(self) -> Self:
        _finish_work()
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _finish_work()
        if kind is None:
            self.seconds.append(time.perf_counter() - self._started)

    def summary(self) -> StepSeconds | None:
        """Median and 95th percentile after the warm-up; None where no step came after it."""
        steps = self.seconds[self.warm_up :]
        return StepSeconds(*np.quantile(steps, [0.5, 0.95]).tolist()) if steps else None


class Peak:
    """The most memory that was allocated on `device` inside `with Peak(device) as peak:`.

    Attributes:
        bytes: after the block; None but on a CUDA device, as nothing else tells it honestly.
    """

    bytes: int | None = None

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)


class Energy:
    """The energy that the whole board of `device` took inside `with Energy(device) as energy:`.

    Attributes:
        joules: after the block; None where NVML does not tell.
    """

    joules: float | None = None

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __enter__(self) -> Self:
        self._before = _millijoules(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        after = _millijoules(self._device)
        if self._before is not None and after is not None:
            self.joules = (after - self._before) / 1000


def _millijoules(device: torch.device) -> int | None:
    """What the board has taken since its driver was loaded; by UUID, as CUDA renumbers visible devices."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    _finish_work()
    try:
        pynvml.nvmlInit()
        board = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(board))
    except pynvml.NVMLError:
        return None


def _finish_work() -> None:
    """Wait until a GPU, where one is in use, has done all that it was given."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def _numel(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

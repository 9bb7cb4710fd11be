"""The computational costs of a method: parameters, memory, FLOPs, time and energy.

Parameter counts, bytes saved for the backward pass and FLOPs are exact and need no GPU. Times, peak memory and energy
are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Size:
    """Number of parameters of a network and their size in bytes; each shared tensor counts once."""

    trainable: int
    total: int
    trainable_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Memory:
    """Memory needed for training, in bytes, broken down by purpose.

    Attributes:
        weights: parameters and buffers of the network.
        gradients: the gradient of each trainable parameter.
        optimizer: AdamW's two moments for each trainable parameter.
        activations: tensors saved for the backward pass of a step.
        peak: measured peak of allocated memory, or None if the device does not report this peak.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int | None


@dataclass(frozen=True)
class StepSeconds:
    """Seconds per training step: the median and the 95th percentile."""

    median: float
    p95: float


def count(network: nn.Module) -> Size:
    """Count all parameters of the network, and its trainable parameters."""
    parameters = list(network.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return Size(_numel(trainable), _numel(parameters), _nbytes(trainable), _nbytes(parameters))


def memory(network: nn.Module, activations: int, peak: int | None) -> Memory:
    """Return the memory needed to train `network` with AdamW; the arguments `activations` and `peak` are in bytes."""
    size = count(network)
    return Memory(
        weights=size.total_bytes + _nbytes(network.buffers()),
        gradients=size.trainable_bytes,
        optimizer=2 * size.trainable_bytes,
        activations=activations,
        peak=peak,
    )


def saved_for_backward_bytes(forward: Callable[[], object], leave_out: Iterable[Tensor] = ()) -> int:
    """Return the number of bytes that autograd keeps between the forward and the backward pass.

    A storage is counted once and in full, even if several saved tensors share it.

    Args:
        forward: function that computes a loss, and may also run the backward pass.
        leave_out: tensors that are in memory anyway, usually the network's parameters and buffers.
    """
    held = {_address(tensor) for tensor in leave_out}
    # keep references to the storages until all are counted, so that no address is reused
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _address(tensor) not in held:
            saved[_address(tensor)] = tensor.untyped_storage()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in saved.values())


def flops_of_step(forward: Callable[[], Tensor]) -> int:
    """Return the FLOPs of the forward and the backward pass of a loss; a multiply-add counts as 2 FLOPs.

    Matrix products, convolutions and attention are counted by the formulas of `torch.utils.flop_counter`, and the
    gradients of convolutions by `_convolution_backward`. Element-wise operations and Fourier transforms are not
    counted. The call leaves gradients in the network, which `undisturbed` removes.
    """
    with _Flops() as counted:
        torch.autograd.backward(forward())
    return int(counted.total)


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that sums the FLOPs of all operations that have a formula.

    PyTorch's `FlopCounterMode` also tracks modules and therefore imports the compiler, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # called by PyTorch; True would import PyTorch's compiler
        return False

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        output = func(*args, **(kwargs or {}))
        from torch.utils.flop_counter import flop_registry

        if func.overloadpacket is torch.ops.aten.convolution_backward:
            self.total += _convolution_backward(args)
        elif (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


def _convolution_backward(args: tuple[object, ...]) -> int:
    """Return the FLOPs of a convolution's gradients; each gradient costs as much as the convolution itself.

    PyTorch's own formula counts the weight gradient of a grouped convolution as if the convolution were dense, which
    gives 16 times too many FLOPs for a depthwise convolution with 16 channels.
    """
    gradient, images, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
    assert isinstance(gradient, Tensor)
    assert isinstance(images, Tensor)
    assert isinstance(weight, Tensor)
    assert isinstance(wanted, Sequence)
    places = images if transposed else gradient
    return 2 * places.numel() * weight[0].numel() * sum(map(bool, wanted[:2]))


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Restore buffers, gradients and random states after a measurement."""
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
    """A timer for `with timer:` blocks; it waits for queued GPU work before it reads the clock.

    Attributes:
        seconds: duration of each step, including the warm-up steps.
        warm_up: number of initial steps that the summary excludes, because they load kernels and fill caches.
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
        """Return the median and 95th percentile of step times after the warm-up, or None without such steps."""
        steps = self.seconds[self.warm_up :]
        return StepSeconds(*np.quantile(steps, [0.5, 0.95]).tolist()) if steps else None


class Peak:
    """Peak memory allocated on `device` inside `with Peak(device) as peak:`.

    Attributes:
        bytes: peak memory in bytes, set after the block on a CUDA device, or None on other devices, which do not report
            peak memory reliably.
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
    """Energy that the whole board of `device` consumed inside `with Energy(device) as energy:`.

    Attributes:
        joules: energy in joules, set after the block, or None if NVML does not report the energy.
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
    """Return the energy that the GPU has used since its driver was loaded.

    The GPU is identified by its UUID, because CUDA may number GPUs differently from NVML.
    """
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
    """Wait until the GPU, if in use, has finished all queued work."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def _numel(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

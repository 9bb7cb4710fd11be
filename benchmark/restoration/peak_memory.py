"""Peak memory of a computation on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A tracker of the memory of tensors created inside `with LiveBytes() as live:`; earlier tensors do not count.

    The storage of a tensor counts once and in full, from the operation that creates it until nothing refers to it.
    Memory that kernels allocate internally is not tracked.

    Attributes:
        peak: largest number of bytes alive at the same time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: dict[int, weakref.ref[UntypedStorage]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch hook; True would import its compiler, which takes seconds
        return False

    def __torch_dispatch__(
        self,
        operation: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run the operation and count the storages that the operation adds."""
        kwargs = kwargs or {}
        self._follow((args, kwargs), new=False)
        output = operation(*args, **kwargs)
        self._follow(output, new=True)
        self.peak = max(self.peak, self._now)
        return output

    def _follow(self, tensors: object, *, new: bool) -> None:
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor) and id(storage := tensor.untyped_storage()) not in self._known:
                size = storage.nbytes() if new else 0
                self._now += size
                self._known[id(storage)] = weakref.ref(storage, partial(self._forget, id(storage), size))

    def _forget(self, storage: int, size: int, _: object) -> None:
        del self._known[storage]
        self._now -= size

"""Networks whose tensors have shapes but no values, for plans, parameter counts and comparisons of state-dict keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode

Kwargs = dict[str, object] | None


class _Unfilled(TorchFunctionMode):
    """A mode that skips functions of `torch.nn.init`, which would take seconds without effect on the meta device."""

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: Kwargs = None
    ) -> object:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


@contextmanager
def without_memory() -> Iterator[None]:
    """Give networks that are built within the `with` block tensors that have shapes but no values."""
    with torch.device("meta"), _Unfilled():
        yield

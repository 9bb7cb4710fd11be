"""Networks with shapes but without values, for plans, parameter counts and comparisons of keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode

Kwargs = dict[str, object] | None


class _Unfilled(TorchFunctionMode):
    """A mode that skips the functions of `torch.nn.init`, which have no effect on the meta device but take seconds."""

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: Kwargs = None
    ) -> object:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


@contextmanager
def without_memory() -> Iterator[None]:
    """Build networks inside the `with` block with shapes but without values."""
    with torch.device("meta"), _Unfilled():
        yield

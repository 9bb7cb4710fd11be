"""Networks without memory, for their shapes: what a plan, a count or a comparison of keys needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _Unfilled(TorchFunctionMode):
    """Lets the functions of `torch.nn.init` do nothing: on the meta device they fill nothing, but take seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


@contextmanager
def without_memory() -> Iterator[None]:
    """Whatever is built inside has shapes, and no values."""
    with torch.device("meta"), _Unfilled():
        yield

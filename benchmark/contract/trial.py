"""The execution of one check of a plugin, which may raise anything, print without limit or never end."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from petlir.benchmark.containment import PluginExit
from petlir.benchmark.contract.global_state import functions, preserved
from petlir.benchmark.errors import Interruption, told
from petlir.benchmark.signals import TimeUp, interrupted_by_user, time_limit

LIMIT = 120.0
"""The maximum duration of a check in seconds, for each million of the network's weights or part of a million."""
RAISED = (Exception, GeneratorExit, KeyboardInterrupt)
"""The exceptions of a faulty plugin that are caught; containment converts all others to `PluginExit`."""


class Trial:
    """A plugin under test.

    Attributes:
        functions: the library functions as they were before the plugin was used.
        limit: the maximum duration of a check, in seconds.
        overdue: True if a check has exceeded the limit, so that no other check is made.
    """

    def __init__(self) -> None:
        self.functions = functions()
        self.limit, self.overdue = LIMIT, False

    def sized_for(self, network: nn.Module) -> None:
        """Adjust the limit to the size of the network."""
        self.limit = LIMIT * math.ceil(sum(parameter.numel() for parameter in network.parameters()) / 1e6)

    def fault(self, check: Callable[[], str | None]) -> str | None:
        """Return the fault that a check finds, or describe the exception that it raises."""
        if self.overdue:
            return "not checked: an earlier check was not finished in time"
        try:
            with interrupted_by_user(), time_limit(self.limit), preserved(self.functions):
                return check()
        except TimeUp:
            self.overdue = True
            return f"not finished after {self.limit:g} seconds"
        except Interruption:
            raise
        except RAISED as error:
            return described(error)


def described(error: BaseException) -> str:
    """Return the type and first line of an exception raised by a plugin, which containment may have converted."""
    return told(error.__cause__ or error if isinstance(error, PluginExit) else error)

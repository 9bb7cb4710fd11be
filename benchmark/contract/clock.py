"""A clock set ahead, to find code whose results depend on the time or the date."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

AHEAD = datetime.timedelta(days=400, hours=5, minutes=7, seconds=11)
"""A difference that changes the year, the month, the day of the week, the hour, the minute and the second."""
UNITS = {"time": AHEAD.total_seconds(), "time_ns": AHEAD // datetime.timedelta(microseconds=1) * 1000}
"""Functions of the module `time`, and the difference in the unit of each."""


class LaterDate(datetime.date):
    """A date class whose `today` is in the future."""

    @classmethod
    def today(cls) -> LaterDate:
        """Return the date of the present time plus `AHEAD`."""
        return cls.fromtimestamp(time.time())


class LaterTime(datetime.datetime):
    """A date and time class whose `now` is in the future."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> LaterTime:
        """Return the present time plus `AHEAD`."""
        return cls.fromtimestamp(time.time(), tz)


def advance() -> None:
    """Set the clocks of Python's modules `time` and `datetime` ahead, for the rest of the process."""
    for name, ahead in UNITS.items():
        setattr(time, name, _later(getattr(time, name), ahead))
    setattr(datetime, "date", LaterDate)  # noqa: B010
    setattr(datetime, "datetime", LaterTime)  # noqa: B010


def _later(clock: Callable[[], float], ahead: float) -> Callable[[], float]:
    return lambda: clock() + ahead

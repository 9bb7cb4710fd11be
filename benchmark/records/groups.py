"""What may stand in one table: one track, backbone, device and regime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import Record

ANY = "none"
"""The regime of cells that train nothing and the device of cells that never ran: they stand in every table."""


@dataclass(frozen=True, order=True)
class Group:
    """The records of one table. Two regimes and two devices are never compared."""

    track: str
    backbone: str
    device: str
    regime: str

    def covers(self, other: Group) -> bool:
        """Return whether what belongs to `other` may stand in this table."""
        return (
            (self.track, self.backbone) == (other.track, other.backbone)
            and other.device in (self.device, ANY)
            and other.regime in (self.regime, ANY)
        )

    def select(self, records: Iterable[Record]) -> list[Record]:
        """Return the records that stand in this table."""
        return [record for record in records if self.covers(record.group)]

    @property
    def title(self) -> str:
        """The group in words, as a heading."""
        regime = {"tuned": "learning rates tuned", "paper": "learning rate of the paper", ANY: "nothing trained"}
        return f"{self.backbone}, {self.track} track, {self.device}, {regime.get(self.regime, self.regime)}"


def groups(records: Iterable[Record]) -> list[Group]:
    """Return the tables that these records fill, sorted; none that only repeats a part of another."""
    found = {record.group for record in records}
    return sorted(group for group in found if not any(o != group and o.covers(group) for o in found))

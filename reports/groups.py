"""What may stand in one table: one track, backbone, device and regime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from petlir.reports.frame import Record

ANY = "none"
"""The regime of cells that train nothing and the device of cells that never ran: they stand in every table."""


@dataclass(frozen=True, order=True)
class Group:
    """The records of one table. Two regimes and two devices are never compared."""

    track: str
    backbone: str
    device: str
    regime: str

    @classmethod
    def of(cls, record: Record) -> Group:
        """Where a record belongs."""
        cell = record["cell"]
        return cls(cell["track"], cell["backbone"], record["environment"]["device"], cell["regime"])

    def covers(self, other: Group) -> bool:
        """Whether what belongs to `other` may stand in this table."""
        return (
            (self.track, self.backbone) == (other.track, other.backbone)
            and other.device in (self.device, ANY)
            and other.regime in (self.regime, ANY)
        )

    def select(self, records: Iterable[Record]) -> list[Record]:
        """The records that stand in this table."""
        return [record for record in records if self.covers(Group.of(record))]

    @property
    def title(self) -> str:
        """The group in words, as a heading."""
        regime = {"tuned": "learning rates tuned", "paper": "learning rate of the paper", ANY: "nothing trained"}
        return f"{self.backbone}, {self.track} track, {self.device}, {regime.get(self.regime, self.regime)}"


def groups(records: Iterable[Record]) -> list[Group]:
    """The tables that these records fill, sorted; none that only repeats a part of another."""
    found = {Group.of(record) for record in records}
    return sorted(group for group in found if not any(o != group and o.covers(group) for o in found))

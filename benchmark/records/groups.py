"""Groups of comparable records, which share a track, a backbone, a device and a regime."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import Record

ANY = "none"
"""The regime of cells that train nothing, and the device of cells that never ran; such cells belong to every table of
their track and backbone.
"""


class Group(NamedTuple):
    """A group of records, shown as a table. Different regimes and different devices are never compared."""

    track: str
    backbone: str
    device: str
    regime: str

    def covers(self, other: Group) -> bool:
        """Return whether the records of the group `other` also belong to this group."""
        return (
            (self.track, self.backbone) == (other.track, other.backbone)
            and other.device in (self.device, ANY)
            and other.regime in (self.regime, ANY)
        )

    @property
    def title(self) -> str:
        """The heading of the group's table."""
        regime = {"tuned": "learning rates tuned", "paper": "learning rate of the paper", ANY: "nothing trained"}
        return f"{self.backbone}, {self.track} track, {self.device}, {regime.get(self.regime, self.regime)}"


def grouped(records: Iterable[Record]) -> dict[Group, list[Record]]:
    """Return the records by group, in sorted order; a group that other groups cover is merged into each of those."""
    members = [(record.group, record) for record in records]
    known = {group for group, _ in members}
    shown = sorted(group for group in known if not any(other != group and other.covers(group) for other in known))
    tables = {group: [table for table in shown if table.covers(group)] for group in known}
    found: dict[Group, list[Record]] = {table: [] for table in shown}
    for group, record in members:
        for table in tables[group]:
            found[table].append(record)
    return found

"""Published numbers and orderings: claims of papers, as data in `results/published`.

A claim is a number with its paper, table, protocol and image set. An ordering states that some methods are better
than other methods, or about as good, on any backbone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.protocol import protocol

FOLDER = Path(__file__).parents[1] / "results" / "published"
ORDERINGS = "orderings.csv"
UNSTATED = "unstated"
"""The protocol of a number whose paper states no protocol; such a number is not comparable with any other number."""
RELATIONS = (">", "~")
MEASURES = ("psnr", "contribution")


@dataclass(frozen=True)
class Claim:
    """A published number.

    Attributes:
        paper: short name of the paper.
        table: table in the paper.
        backbone: the backbone, under its petlir name if petlir implements the backbone.
        method: the method as written in a grid, such as `adaptir[ensemble=false]`.
        task: name of the task.
        set: name of the image set.
        protocol: scoring protocol, or `unstated` if the paper states no protocol.
        psnr: PSNR in dB.
        ssim: SSIM, or None if the paper does not report SSIM.
        params: number of trainable parameters as printed, such as `697K`, or empty if the paper states none.
        remark: misprints, doubtful points and conditions.
    """

    paper: str
    table: str
    backbone: str
    method: str
    task: str
    set: str
    protocol: str
    psnr: float
    ssim: float | None
    params: str
    remark: str


@dataclass(frozen=True)
class Ordering:
    """A published statement about which methods are better.

    Attributes:
        statement: the statement as a sentence.
        paper: short name of the paper, and the table.
        left: methods, each better than (`>`) or about as good as (`~`) every method in `right`.
        relation: `>` or `~`.
        right: the methods with which the methods in `left` are compared.
        tasks: tasks to which the statement applies, or `*` for all tasks.
        measure: the compared quantity, either `psnr` or `contribution`, which cannot be computed from scores.
        remark: the parts of the statement that are our interpretation.
    """

    statement: str
    paper: str
    left: tuple[str, ...]
    relation: str
    right: tuple[str, ...]
    tasks: tuple[str, ...]
    measure: str
    remark: str


def claims(folder: Path = FOLDER) -> list[Claim]:
    """Return all published numbers in the CSV files of a folder.

    Raises:
        PetlirError: a file lacks a column, or a claim lacks its protocol or another field; the message names the line.
    """
    return [
        _claim(row, where)
        for path in sorted(folder.glob("*.csv"))
        if path.name != ORDERINGS
        for where, row in _rows(path, Claim)
    ]


def of_paper(paper: str | None, found: Sequence[Claim]) -> list[Claim]:
    """Return the claims of one paper, or all claims if `paper` is None.

    Raises:
        PetlirError: `found` contains no claim of this paper; the message suggests the nearest paper.
    """
    papers = list(dict.fromkeys(claim.paper for claim in found))
    if paper is not None and paper not in papers:
        raise unknown("paper", paper, papers)
    return [claim for claim in found if paper in (None, claim.paper)]


def orderings(path: Path = FOLDER / ORDERINGS) -> list[Ordering]:
    """Return all published orderings in a file.

    Raises:
        PetlirError: the file lacks a column, or a row lacks a field; the message names the line.
    """
    return [_ordering(row, where) for where, row in _rows(path, Ordering)]


def _rows(path: Path, kind: type[Claim | Ordering]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the file and line of each row, and the row's values by column."""
    wanted = [field.name for field in fields(kind)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise PetlirError(
                    f"{path}: missing {', '.join(missing)} in the header; expected the columns {', '.join(wanted)}"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise PetlirError(f"{where}: expected {len(wanted)} fields: {', '.join(wanted)}")
                yield where, {name: row[name].strip() for name in wanted}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PetlirError(f"cannot read {path}: {error}") from error


def _claim(row: dict[str, str], where: str) -> Claim:
    for name in ("paper", "table", "backbone", "method", "task", "set", "protocol"):
        if not row[name]:
            raise PetlirError(f"{where}: the claim has no {name}, without which its number cannot be compared")
    if row["protocol"] != UNSTATED:
        protocol(row["protocol"])
    try:
        psnr, ssim = float(row["psnr"]), float(row["ssim"]) if row["ssim"] else None
    except ValueError as error:
        raise PetlirError(f"{where}: {error}; expected PSNR in dB, and SSIM or an empty field") from error
    parts = {name: row[name] for name in row if name not in ("psnr", "ssim")}
    return Claim(**parts, psnr=psnr, ssim=ssim)


def _ordering(row: dict[str, str], where: str) -> Ordering:
    if row["relation"] not in RELATIONS or row["measure"] not in MEASURES:
        raise PetlirError(
            f"{where}: relation {row['relation']!r} and measure {row['measure']!r}; "
            f"expected the relation {' or '.join(RELATIONS)} and the measure {' or '.join(MEASURES)}"
        )
    left, right = (tuple(name.strip() for name in row[side].split("|")) for side in ("left", "right"))
    if not all((*left, *right, row["statement"], row["tasks"])):
        raise PetlirError(f"{where}: an ordering needs a statement, methods on both sides, and tasks")
    return Ordering(
        row["statement"], row["paper"], left, row["relation"], right, tuple(row["tasks"].split()), row["measure"],
        row["remark"],
    )  # fmt: skip

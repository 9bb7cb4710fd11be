"""Exported tables of a store: CSV and Parquet for programs, Markdown and LaTeX for papers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.images.outputs import Warn, silent
from petlir.benchmark.protocol import Protocol
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.store.reading import without_collection
from petlir.benchmark.writing import write_bytes
from petlir.reports import markdown
from petlir.reports.formats import count, csv_text, decibel, percent, signed
from petlir.reports.frame import load
from petlir.reports.markdown import escaped
from petlir.reports.results import Column, ResultRow, ResultValue, Table
from petlir.reports.tables import tables
from petlir.reports.titles import built_in_tasks

SHORT = {"not-applicable": "n/a", "out-of-memory": "OOM"}
"""Short names for the states of runs without a score; all other states are shown by their full names."""
PARQUET = b"PAR1"
"""The first bytes of a Parquet file."""
EARLY = ("psnr", "ssim")
"""Metrics whose columns precede the columns of differences and costs; the columns of all other metrics come last."""
FORMATS = ("csv", "latex", "markdown", "parquet")


def write(
    store: Path,
    out: Path,
    format: str,  # noqa: A002 - the name of the command-line option
    extra_protocols: Sequence[Protocol] = (),
    warn: Warn = silent,
) -> None:
    """Write the results of a store to a file atomically; the format `parquet` has the same columns as `csv`.

    Raises:
        PetlirError: the format is unknown, or the file cannot be written.
    """
    if format == "parquet":
        content = io.BytesIO()
        rows(tables(load(store, warn, extra_protocols), built_in_tasks())).to_parquet(content, index=False)
        _replace_export(out, content.getvalue())
    else:
        _replace_export(out, table(store, format, extra_protocols, warn).encode())


def _replace_export(out: Path, content: bytes) -> None:
    """Write the file; raise PetlirError if the existing file does not begin like an export of this format."""
    if out.is_dir():
        raise PetlirError(f"{out} is a folder; expected a file to write")
    if out.exists():
        begin = PARQUET if content.startswith(PARQUET) else content[: content.find(b"\n") + 1]
        with out.open("rb") as file:
            if file.read(len(begin)) != begin:
                raise PetlirError(f"{out} exists and is not an export of this format; name another file")
    write_bytes(out, content)


def table(
    store: Path,
    format: str,  # noqa: A002 - the name of the command-line option
    extra_protocols: Sequence[Protocol] = (),
    warn: Warn = silent,
) -> str:
    """Return the results of a store as text in one of the formats.

    Args:
        store: the folder that holds the records.
        format: `csv`, with one row for each method, task, test set and protocol: scores with full precision, or the
            state of the runs if there is no score; `markdown` or `latex`, with one table for each track, backbone,
            device, regime and kind of image.
        extra_protocols: additional protocols for scoring the stored images.
        warn: receives a line for each record that is damaged or cannot be rescored.

    Raises:
        PetlirError: the format is unknown; the message names the most similar format.
    """
    if format == "parquet":
        raise PetlirError("parquet is a binary format; expected --out FILE")
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    with without_collection():
        found = tables(load(store, warn, extra_protocols), built_in_tasks())
        if format == "csv":
            return csv(found)
    return "\n\n".join(_markdown(one) if format == "markdown" else _latex(one) for one in found) + "\n"


def csv(found: list[Table]) -> str:
    """Return the results tables as CSV."""
    return csv_text(rows(found))


def rows(found: list[Table]) -> pd.DataFrame:
    """Return a row for each method and column of the results tables; PSNR and its differences are in dB.

    New columns are appended at the end, since scripts may address columns by position.
    """
    return pd.DataFrame(
        _as_dict(one, row, column, value)
        for one in found
        for row in one.rows
        if not one.part or row.kind == "composed"
        for column, value in zip(one.columns, row.values, strict=True)
    )


def _as_dict(one: Table, row: ResultRow, column: Column, value: ResultValue) -> dict[str, object]:
    costs = row.costs
    return {
        "track": one.group.track,
        "backbone": one.group.backbone,
        "device": one.group.device,
        "regime": one.group.regime,
        "task": column.task,
        "set": column.set,
        "domain": column.domain,
        "protocol": column.protocol,
        "budget": column.budget,
        "transfer": column.transfer,
        "method": row.label,
        "kind": row.kind,
        "state": value.state,
        "reason": value.reason,
        **{name: value.scores.get(name) for name in EARLY},
        "delta_full_ft": value.full,
        "delta_frozen": value.frozen,
        "delta_input": value.input,
        "seeds": len(value.seeds),
        "images": column.images,
        "identical_images": max(column.identical, value.infinite),
        "converged": value.converged,
        "smoke": column.smoke,
        "mark": value.mark,
        "level": value.level,
        "source": value.source,
        "trainable": costs.trainable if costs else None,
        "trainable_share": costs.share if costs else None,
        "stored_bytes": costs.stored if costs else None,
        "saved_for_backward_bytes": costs.saved if costs else None,
        "flops_per_step": costs.flops if costs else None,
        "step_seconds": costs.step if costs else None,
        "training_seconds": costs.training if costs else None,
        "inference_seconds_per_megapixel": costs.inference if costs else None,
        "peak_memory_bytes": costs.peak if costs else None,
        "headline": column.headline,
        "delta_frozen_low": value.gain.low if value.gain else None,
        "delta_frozen_high": value.gain.high if value.gain else None,
        "recovered": value.share.value if value.share else None,
        "recovered_low": value.share.low if value.share else None,
        "recovered_high": value.share.high if value.share else None,
        "change": value.change,
        "collapsed_seeds": len(value.collapsed),
        **{name: value.scores.get(name) for name in METRICS if name not in EARLY},
    }


def _cell(value: ResultValue, bold: str) -> str:
    if value.state != "done":
        return SHORT.get(value.state, value.state)
    others = [METRICS[name].text(number) for name, number in value.scores.items() if name != LEADING]
    text = " / ".join([decibel(value.psnr), *others])
    text += "" if value.frozen is None else f" ({signed(value.frozen)})"
    text += " *" if value.converged is False else ""
    return bold % text if value.mark else text


def head(column: Column) -> list[str]:
    """Return the heading of a column: its title, and notes on its scores."""
    how = [column.set, column.protocol, column.transfer, column.simulated, column.data_label, column.overlap]
    how += [column.borrowed, column.left_out, "" if column.headline else "not the headline protocol"]
    return [column.title, ", ".join(filter(None, how))]


def _note(one: Table) -> str:
    scores = " / ".join(metric.title + f" in {metric.unit}" * bool(metric.unit) for metric in METRICS.values())
    what = f"{one.title}; {one.domain}. {scores} (difference from frozen in dB); "
    return what + " ".join(notes(one))


def notes(one: Table) -> list[str]:
    """Return notes that explain the marks of a table, and why some of its columns have no marks."""
    why = sorted({column.unranked for column in one.columns} - {""})
    unranked = [f"Reasons for columns without marks: {'; '.join(why)}."] if why else []
    marks = "bold: the best PETL method or a method tied with it; *: not converged."
    return [marks, *unranked, *(f"{line}." for line in one.below())]


def _protocols(one: Table) -> str:
    return ", ".join(dict.fromkeys(f"{column.set} {column.protocol}" for column in one.columns if column.set))


def _size(row: ResultRow) -> list[str]:
    return [count(row.costs.trainable), percent(row.costs.share)] if row.costs else ["", ""]


def _markdown(one: Table) -> str:
    heads = ["<br>".join(escaped(part) for part in head(column)) for column in one.columns]
    rows = [
        [escaped(row.label), *_size(row), *(_cell(value, "**%s**").replace(" *", " \\*") for value in row.values)]
        for row in one.rows
    ]
    return f"{markdown.table(['method', 'trainable', 'share', *heads], rows)}\n\n{escaped(_note(one))}"


def _latex(one: Table) -> str:
    """Return a LaTeX table for the package `booktabs`; the caption explains the scores and the marks."""

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    heads = [head(column) for column in one.columns]
    rows = [
        line([_tex(row.label), *(_tex(text) for text in _size(row)), *(_tex_cell(value) for value in row.values)])
        for row in one.rows
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(' '.join(_note(one).split()))} Protocols: {_tex(_protocols(one))}.}}",
            rf"\begin{{tabular}}{{lrr{'r' * len(one.columns)}}}",
            r"\toprule",
            line(["method", "trainable", "share", *(_tex(title) for title, _ in heads)]),
            line(["", "", "", *(_tex(notes) for _, notes in heads)]),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _tex_cell(value: ResultValue) -> str:
    text = _tex(_cell(value, "%s"))
    return rf"\textbf{{{text}}}" if value.mark else text


def _tex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
        "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "∞": r"$\infty$",
        "×": r"$\times$", "σ": r"$\sigma$", "→": r"$\to$", "<": r"\textless{}", ">": r"\textgreater{}",
        "²": r"\textsuperscript{2}",
    }  # fmt: skip
    return "".join(special.get(letter, letter) for letter in text)

"""Test that the numbers on the first page are those of the record files, computed here by other means."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from petlir.reports import links
from petlir.reports.site import write_report
from tests.reports.stores import TASKS, ranked_records, write_store

SHOWN = ("psnr", "ssim", "frozen", "full", "input", "share")
ROUNDED = {"ssim": 0.5e-4, "share": 0.5}
"""The accepted rounding error of a printed number: half of its last digit, and half of 0.01 dB by default."""


class Results(HTMLParser):
    """The tables of results: the pages linked in their headings, and the values that each row shows."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.heads: list[list[str]] = []
        self.rows: list[list[tuple[str, dict[str, Any]]]] = []
        self.shown: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        if tag == "table":
            self.inside = "results" in classes
            self.heads += [[]] if self.inside else []
            self.rows += [[]] if self.inside else []
        elif not self.heads or not self.inside:
            return
        elif tag == "a" and "title" in classes:
            self.heads[-1].append(given["href"])
        elif tag == "th" and given.get("scope") == "row":
            self.rows[-1].append(("", {"columns": [], "trainable": None}))
            self.shown = ["name"]
        elif tag == "td" and self.rows[-1]:
            cells = self.rows[-1][-1][1]
            if "quality" in classes:
                cells["columns"].append({})
            elif cells["trainable"] is None:
                cells["trainable"] = given.get("data-value", "")
            self.shown = []
        elif tag == "span" and "v" in classes:
            self.shown = [classes[1]]
        elif tag in ("abbr", "small", "span") and self.shown != ["name"]:
            self.shown = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "table") or (tag == "span" and self.shown != ["name"]):
            self.shown = []

    def handle_data(self, data: str) -> None:
        if self.shown == ["name"]:
            name, cells = self.rows[-1][-1]
            self.rows[-1][-1] = (name + data.strip(), cells)
        elif self.shown:
            self.rows[-1][-1][1]["columns"][-1][self.shown[0]] = _number(data)


def _number(text: str) -> float:
    return float(text.replace("−", "-").replace("–", "nan").removesuffix(" %"))


def recomputed(store: Path, task: str, set_: str) -> pd.DataFrame:
    """Compute a table label × value from the JSON files.

    Means are over images of means over seeds; images with an infinite PSNR in any record are omitted.
    """
    rows = [
        {"label": one["cell"]["label"], **score, "psnr": float(score["psnr"])}
        for one in (json.loads(path.read_text()) for path in store.glob("cells/*/*/*/record.json"))
        if one["cell"]["task"] == task
        for score in one["scores"]
        if score["set"] == set_
    ]
    frame = pd.DataFrame(rows)
    frame = frame[~frame.image.isin(frame.image[np.isinf(frame.psnr)])]
    means = frame.groupby(["label", "image"])[["psnr", "ssim", "input_psnr"]].mean()
    finite = means.psnr
    found = pd.DataFrame({"psnr": finite.groupby("label").mean(), "ssim": means.ssim.groupby("label").mean()})
    for name, other in (("frozen", finite["frozen"]), ("full", finite["full-ft"])):
        found[name] = [(finite[label] - other).mean() for label in found.index]
    found["share"] = 100 * found.frozen / found.frozen["full-ft"]
    found["input"] = [(finite[label] - means.input_psnr[label]).mean() for label in found.index]
    return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Write a store with three seeds and one image that is restored exactly."""
    records = ranked_records()
    next(one for one in records if one["cell"]["label"] == "lora")["scores"][1]["psnr"] = "inf"
    return write_store(tmp_path / "store", records, images=False)


def test_every_figure_of_the_first_page_is_the_records(store, tmp_path):
    page = Results(write_report(store, tmp_path / "out").read_text())
    assert [len(rows) for rows in page.rows] == [10, 10], "nine methods and the input, on two kinds of images"
    pages = {links.page("tasks", task): task for task in TASKS}
    compared = 0
    for heads, rows, set_ in zip(page.heads, page.rows, ("photographs", "leaves-test"), strict=True):
        tasks = [pages[head] for head in heads]
        known = {task: recomputed(store, task, set_) for task in tasks}
        for label, cells in rows:
            for task, shown in zip(tasks, cells["columns"], strict=True):
                if label in known[task].index:
                    assert set(shown) == set(SHOWN)
                    for name, value in shown.items():
                        if name == "share" and np.isnan(value):
                            continue
                        assert value == pytest.approx(
                            known[task].loc[label, name], abs=ROUNDED.get(name, 0.005) + 1e-9
                        ), (label, task, name)
                        compared += 1
    shares = 2 * 6 * len(TASKS)
    assert compared == 2 * len(TASKS) * 9 * (len(SHOWN) - 1) + shares, "shares of six methods, on two kinds of images"


def test_sizes_are_the_records(store, tmp_path):
    page = Results(write_report(store, tmp_path / "out").read_text())
    records = [json.loads(path.read_text()) for path in store.glob("cells/*/*/*/record.json")]
    known = {one["cell"]["label"]: one["costs"]["trainable"] for one in records}
    for rows in page.rows:
        found = {label: cells["trainable"] for label, cells in rows if label in known}
        assert {label: float(size) for label, size in found.items()} == known

from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pytest

from petlir.reports.formats import (
    count,
    csv_text,
    decibel,
    flops,
    joined,
    percent,
    plural,
    scientific,
    seconds,
    signed,
    size,
)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (decibel(26.418), "26.42"), (decibel(math.inf), "∞"), (decibel(None), "–"),
        (signed(-0.5), "−0.50"), (signed(0.5), "+0.50"), (signed(math.inf), "–"),
        (count(0), "0"), (count(20_736), "20.7 K"), (count(999_600), "1.00 M"), (count(695_520), "696 K"),
        (size(1024), "1.00 KiB"), (size(82_944), "81.0 KiB"), (flops(1_240_000_000), "1.24 GFLOP"), (flops(0), "–"),
        (seconds(0.105), "105 ms"), (seconds(4.0), "4.0 s"), (seconds(720), "12 min"), (percent(0.0061), "0.61 %"),
        (scientific(1e-5), "1e-5"), (scientific(0.03), "3e-2"), (scientific(1), "1e0"),
        (plural(1, "seed"), "1 seed"), (plural(3, "seed"), "3 seeds"), (joined(["a", "b", "c"]), "a, b and c"),
    ],
)  # fmt: skip
def test_numbers_read_well(shown, expected):
    assert shown == expected


def test_csv_holds_nothing_that_a_spreadsheet_computes():
    texts = ["=1+1", "+A1", "-2+3", "@SUM(A1)", "\t=1", "lora[rank=8]", None, "", '=HYPERLINK("x,y")']
    rows = pd.DataFrame({"label": texts, "psnr": [-1.5] * len(texts), "mixed": [-1, "-1", *texts[2:]]})
    found = list(csv.reader(io.StringIO(csv_text(rows))))[1:]
    assert [row[0] for row in found] == [
        "'=1+1", "'+A1", "'-2+3", "'@SUM(A1)", "'\t=1", "lora[rank=8]", "", "", "'=HYPERLINK(\"x,y\")"
    ]  # fmt: skip
    assert {row[1] for row in found} == {"-1.5"} and [row[2] for row in found[:2]] == ["-1", "'-1"]

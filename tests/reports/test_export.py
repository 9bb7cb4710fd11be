from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_bytes
from petlir.benchmark.store import Store
from petlir.reports.export import table, write
from tests.reports.stores import MALICIOUS


def test_csv_has_every_method_column_and_state(store):
    frame = pd.read_csv(io.StringIO(table(store, "csv")), keep_default_na=False)
    assert len(frame) == 8 * 3 * 2
    assert set(frame.state) == {"done", "failed", "out-of-memory", "not-applicable", "missing"}
    lora = frame[(frame.method == "lora") & (frame.task == "denoise_30") & (frame.domain == "photographs")]
    full = frame[(frame.method == "full-ft") & (frame.task == "sr_x4") & (frame.domain == "photographs")]
    assert float(lora.delta_frozen.item()) == pytest.approx(1.0, abs=0.05)
    assert float(full.trainable.item()) == 850_000
    assert float(full.trainable_share.item()) == 1.0


def test_markdown_rows_have_equally_many_cells(store):
    text = table(store, "markdown")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "<script>" not in text.replace("\\<", "")
    assert "n/a" in text
    assert "OOM" in text


def test_markdown_bolds_only_what_may_be_ranked(store, ranked):
    assert "**" not in table(store, "markdown")
    bold = [line for line in table(ranked, "markdown").splitlines() if "**" in line]
    assert {line.split("|")[1].strip() for line in bold} == {"adapter", "twin"}


def test_latex_is_whole_and_escaped(store):
    text = table(store, "latex")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in body}) == 1
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert all(letter not in text.replace(r"\textless{}", "") for letter in ("<", "σ", "×", "−", "∞"))
    assert MALICIOUS not in text


def test_the_latex_caption_names_the_protocols_and_what_is_bold(ranked):
    captions = [line for line in table(ranked, "latex").splitlines() if line.startswith(r"\caption")]
    assert captions
    assert all("photographs y-crop4" in line or "leaves-test y-crop4" in line for line in captions)
    assert all("bold: the best PETL method or a method tied with it" in line for line in captions)


def test_parquet_holds_what_csv_holds(store, tmp_path):
    write(store, tmp_path / "table.parquet", "parquet")
    parquet = pd.read_parquet(tmp_path / "table.parquet")
    text = pd.read_csv(io.StringIO(table(store, "csv")))
    pd.testing.assert_series_equal(parquet.psnr, text.psnr)
    assert list(parquet.columns) == list(text.columns)
    with pytest.raises(PetlirError, match="--out"):
        table(store, "parquet")


def test_another_format_is_answered_with_the_nearest(store):
    with pytest.raises(PetlirError, match="did you mean 'markdown'"):
        table(store, "markdwn")


def test_each_record_is_read_once(store, monkeypatch):
    opened: Counter[object] = Counter()

    def read(path: Path) -> bytes:
        opened.update([path])
        return read_bytes(path)

    monkeypatch.setattr("petlir.benchmark.records.files.read_bytes", read)
    table(store, "csv")
    assert opened == Counter(Store(store).files())

"""Test the cards of methods: the generated file matches the code, and reports import no torch just for the cards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from petlir.benchmark.plugins import find
from petlir.reports import method_cards
from petlir.reports.method_cards import CARDS, cards_of, generated
from tests.helpers.engine import ROOT
from tests.reports.stores import record, write_store

REPORT = """
import sys
from pathlib import Path
from petlir.reports.site import write_report
write_report(Path(sys.argv[1]), Path(sys.argv[2]))
print("torch" in sys.modules)
"""


def test_the_generated_file_is_that_of_the_code():
    assert CARDS.read_bytes() == generated(), "run python -m petlir.reports.method_cards"


def test_the_file_and_the_code_give_the_same_cards(monkeypatch):
    read = method_cards.method_cards()
    monkeypatch.setattr(method_cards, "_digest", lambda: "of other sources")
    assert method_cards.method_cards() == read == cards_of(find([]))
    assert read["lora"].published[0].backbone == "edt-b"


def test_a_report_without_cells_of_a_named_grid_imports_no_torch(tmp_path: Path) -> None:
    records = [record(method, "sr_x4", smoke=False) for method in ("frozen", "full-ft", "lora")]
    store = write_store(tmp_path / "store", records, images=False)
    done = subprocess.run(
        [sys.executable, "-c", REPORT, store, tmp_path / "out"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert done.stdout.split() == ["False"]
    assert "A low-rank matrix" in (tmp_path / "out" / "methods" / "lora.html").read_text(encoding="utf-8")

"""Test the table of ratios: measured rows are rewritten, and the others stay."""

from __future__ import annotations

from tests.perf.conftest import END, HEAD, START, Ratio, updated


def test_measured_rows_are_written_again_and_the_others_stay():
    kept, old, new = Ratio("a", "b", 0.5, 1.0), Ratio("c", "d", 2.0), Ratio("c", "d", 3.0, flops=1.5)
    other = Ratio("a", "d", 4.0)
    text = f"# Ratios\n\n{START}{HEAD}{kept.row()}{old.row()}{END}\n\nMore.\n"
    expected = f"# Ratios\n\n{START}{HEAD}{kept.row()}{new.row()}{other.row()}{END}\n\nMore.\n"
    assert updated(text, [new, other]) == expected

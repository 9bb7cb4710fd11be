"""Test measured tolerances: the row of a label precedes the row of its method, which precedes the constant."""

from __future__ import annotations

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.tolerance import FLOOR, measured

HEAD = "method,task,tolerance_db\n"


def test_the_table_is_read_where_there_is_one(tmp_path):
    table = tmp_path / "tolerance.csv"
    assert measured("lora", "lora", "sr_x4", 0.01, table.with_name("none.csv")) == 0.01
    table.write_text("method,task,tolerance_db,runs\nlora,sr_x4,0.03,4\nlora[rank=8],sr_x4,0.05,4\n")
    assert measured("lora", "lora", "sr_x4", 0.01, table) == 0.03
    assert measured("lora[rank=8]", "lora", "sr_x4", 0.01, table) == 0.05
    assert measured("lora[rank=4]", "lora", "sr_x4", 0.01, table) == 0.03
    assert measured("lora", "lora", "sr_x2", 0.01, table) == 0.01


def test_a_tiny_spread_of_a_few_runs_is_not_stricter_than_rounding_allows(tmp_path):
    table = tmp_path / "tolerance.csv"
    table.write_text(f"{HEAD}lora,sr_x4,0\n")
    assert measured("lora", "lora", "sr_x4", 0.1, table) == FLOOR


@pytest.mark.parametrize("text", ["", "method,task\n", f"{HEAD}lora,sr_x4,much\n", f"{HEAD}lora,sr_x4,-1\n",
                                  f"{HEAD}lora,sr_x4,nan\n", f"{HEAD}lora\n"])  # fmt: skip
def test_a_damaged_table_is_one_line(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(PetlirError, match="is damaged: "):
        measured("lora", "lora", "sr_x4", 0.01, tmp_path / "t.csv")

"""Test the stored bytes as a function of the number of tasks, against sums computed by hand."""

import csv as reader
import io

from petlir.reports.grids.stored import EACH, ONE, SHARED, csv, stored
from tests.helpers.samples import typed_all
from tests.reports.stores import record


def cell(label, stored_bytes, task="sr_x4", method="lora", **costs):
    made = record(method if method in ("frozen", "full-ft") else "lora", "sr_x4", label=label, method_=method)
    del made["cell"]["method_"]
    made["cell"] |= {"method": method, "task": task}
    made["costs"] |= {"stored_bytes": stored_bytes, **costs}
    return made


def composed():
    made = cell("uir-lora[rank=8]", 4000, method="uir-lora")
    made["cell"] |= {"regime": "none", "options": {"degradations": "a+b+c+d"}}
    made["key_components"]["needs"] = "x"
    return made


RECORDS = [
    cell("frozen", 0, method="frozen", trainable=0, total=1000) | {"key_components": {}},
    cell("full-ft", 4000, method="full-ft"),
    cell("full-ft", 4400, "low_light", method="full-ft"),
    cell("lora", 100),
    cell("lora", 300, "low_light"),
    cell("lora", 500, "mixture"),
    composed(),
]


def test_each_kind_is_its_own_sum():
    (one,) = stored(typed_all(RECORDS))
    found = {(plan.label, plan.kind): plan.bytes(7) for plan in one.plans}
    assert found == {
        ("full-ft", EACH): 7 * 4200,
        ("lora", SHARED): 4 * 1000 + 7 * 200,
        ("lora", ONE): 4 * 1000 + 500,
        ("uir-lora[rank=8]", SHARED): 4 * 1000 + 7 * 1000,
    }
    assert one.lines[0][0] == "full-ft (N for N)"


def test_the_sentence_says_from_where_pieces_need_less():
    """4000 + 200 N < 4200 N holds from N = 2 on, and 4000 + 1000 N < 4200 N as well; with 5000 N it never holds."""
    (one,) = stored(typed_all(RECORDS))
    assert one.sentence.startswith(
        "Storage for 10 tasks on ipt-nano: N for N: 41.0 KiB; 1 for N: 4.39 KiB; 1 + N for N: 5.86 KiB"
    )
    assert one.sentence.endswith("Adapters save storage with at least 2 tasks.")
    greedy = [*RECORDS, cell("huge", 5000)]
    assert stored(typed_all(greedy))[0].sentence.endswith("tasks, but never with huge.")


def test_csv_holds_every_number_of_tasks():
    rows = list(reader.DictReader(io.StringIO(csv(stored(typed_all(RECORDS))))))
    assert len(rows) == 4 * 10
    assert {(row["tasks"], row["bytes"]) for row in rows if row["label"] == "full-ft"} >= {
        ("1", "4200"),
        ("10", "42000"),
    }


def test_without_the_network_as_it_is_there_is_no_drawing():
    assert stored(typed_all(RECORDS[1:-1])) == []

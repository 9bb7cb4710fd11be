"""Test published numbers: they are complete and agree with known sums; bad rows are refused with file and line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from petlir.benchmark import grid
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.places import PLACES
from petlir.benchmark.plugins import find
from petlir.benchmark.published import claims, orderings
from petlir.reports.claims import is_method
from petlir.reports.grids.named import named_grids

HEADER = "paper,table,backbone,method,task,set,protocol,psnr,ssim,params,remark\n"
GOOD = "AdaptIR,1,ipt,lora,sr_x4,Set5,y-crop4,32.70,,995K,\n"


def test_the_adaptir_tables_are_whole():
    """Table 1: 10 methods on 2 tasks and 5 sets. Table 4: 9 methods, without moe, on 5 sets. Table 15: 6 methods."""
    counts = Counter(claim.table for claim in claims() if claim.paper == "AdaptIR")
    assert (counts["1"], counts["4"], counts["14"], counts["15"]) == (100, 45, 45, 6)


def test_methods_and_tasks_of_claims_are_those_of_the_project():
    plugins = find([])
    ours = [claim for claim in claims() if claim.paper == "AdaptIR"]
    assert {claim.task for claim in ours} <= set(plugins.tasks)
    assert {claim.method.partition("[")[0] for claim in ours} <= set(plugins.methods)
    known = {method.partition("[")[0] for ordering in orderings() for method in (*ordering.left, *ordering.right)}
    assert known - set(plugins.methods) <= {"bias", "norm", "conv", *PLACES}
    for task in {task for ordering in orderings() for task in ordering.tasks} - {"*"}:
        assert plugins.task(task).label == task


TESTED = ("Table 5", "Table 6", "Table 7", "Fig. 4", "UIR-LoRA")


@pytest.mark.parametrize(
    "ordering", [o for o in orderings() if any(t in o.paper for t in TESTED)], ids=lambda o: o.statement
)
def test_a_named_grid_runs_both_sides_of_an_ordering(ordering):
    plugins = find([])
    tested = set()
    for one in named_grids():
        labels = [method.label for method in grid.methods(str(one.asked["methods"]), plugins.methods)]
        tasks = {task.label for task in grid.tasks(str(one.asked["tasks"]), plugins.tasks, str(one.asked["track"]))}
        sides = (ordering.left, ordering.right)
        if all(any(is_method(n, label) for label in labels) for side in sides for n in side):
            tested |= tasks & set(ordering.tasks)
    assert tested == set(ordering.tasks)


def test_misprints_are_marked():
    table = [
        claim for claim in claims() if (claim.paper, claim.table, claim.task) == ("AdaptIR", "1", "hybrid_lr4_noise30")
    ]
    remarks = {(claim.method, claim.set): claim.remark for claim in table}
    assert "SSIM fits about 22.1" in remarks["fact", "Urban100"]
    assert "swapped" in remarks["adaptir", "BSD100"]


def test_table_8_is_not_comparable_since_its_protocol_is_not_stated():
    table = [claim for claim in claims() if (claim.paper, claim.table) == ("AdaptIR", "8")]
    assert [(claim.backbone, claim.psnr, claim.protocol) for claim in table] == [
        ("PromptGIP", 26.22, "unstated"),
        ("PromptGIP", 25.46, "unstated"),
    ]


def write(folder: Path, text: str) -> Path:
    (folder / "paper.csv").write_text(text)
    return folder


def test_a_good_row_is_read(tmp_path):
    (claim,) = claims(write(tmp_path, HEADER + GOOD))
    assert (claim.method, claim.psnr, claim.ssim, claim.params) == ("lora", 32.7, None, "995K")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEADER + GOOD + GOOD.replace("y-crop4", ""), r"paper\.csv, line 3: the claim has no protocol"),
        (HEADER + GOOD.replace("y-crop4", "y-corp4"), "y-corp4"),
        (HEADER + GOOD.replace("32.70", "32,70"), r"line 2: expected 11 fields"),
        (HEADER + GOOD.replace("32.70", "high"), r"line 2: could not convert.*expected PSNR in dB"),
        (HEADER.replace("protocol,", ""), "missing protocol in the header; expected the columns "),
    ],
)
def test_bad_rows_are_refused(tmp_path, text, line):
    with pytest.raises(PetlirError, match=line):
        claims(write(tmp_path, text))


def test_bad_orderings_are_refused(tmp_path):
    path = tmp_path / "orderings.csv"
    path.write_text("statement,paper,left,relation,right,tasks,measure,remark\na,b,lora,>=,ssf,*,psnr,\n")
    with pytest.raises(PetlirError, match=r"line 2: relation '>='"):
        orderings(path)

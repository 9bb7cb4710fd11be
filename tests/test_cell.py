"""Test that a cell's key changes with each of its components, and with nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from petlir.benchmark import cell as cells
from petlir.benchmark.cell import Cell, Common

CELL = Cell(
    backbone="ipt-nano", method="lora", options={"rank": 4, "alpha": 1.0}, label="lora", task="sr_x4", track="demo",
    seed=0, regime="tuned", rate=1e-3, steps=60, batch_size=4, patch=48,
)  # fmt: skip
BESIDE: dict[str, Any] = {
    "options": {"rank": 4}, "weights": "w", "data": "d", "plugin": ("p",), "engine": ("e",), "heads": ("sr_x4",),
    "protocols": ("y-crop4",), "device": "",
}  # fmt: skip


def key(cell: Cell, **changes: Any) -> str:
    return cells.key(Common(**{**BESIDE, **changes}).key_components(cell))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"backbone": "ipt"}, "backbone"),
        ({"method": "adapter"}, "method"),
        ({"task": "sr_x2"}, "task"),
        ({"track": "open"}, "track"),
        ({"seed": 1}, "seed"),
        ({"regime": "paper"}, "rate"),
        ({"rate": 3e-3}, "rate"),
        ({"steps": 61}, "budget"),
        ({"batch_size": 8}, "budget"),
        ({"patch": 64}, "budget"),
    ],
)
def test_the_key_changes_with_every_field_that_decides(changes, part):
    before, after = (Common(**BESIDE).key_components(cell) for cell in (CELL, replace(CELL, **changes)))
    assert {name for name in before if before[name] != after[name]} == {part}
    assert cells.key(before) != cells.key(after)


@pytest.mark.parametrize("part", sorted(BESIDE))
def test_the_key_changes_with_what_stands_beside_the_cell(part):
    changed = ("other",) if isinstance(BESIDE[part], tuple) else {"rank": 8} if part == "options" else "other"
    assert key(CELL, **{part: changed}) != key(CELL)


def test_options_stand_in_keys_only_where_they_differ_from_their_defaults():
    """If a method gets a new option later, the keys of finished cells stay the same."""
    more = replace(CELL, options={**CELL.options, "new": 0})
    assert key(more) == key(CELL)


def test_the_key_does_not_change_with_label_or_order():
    turned = replace(CELL, label="LoRA")
    assert key(turned, options={"b": 1, "a": 2}) == key(CELL, options={"a": 2, "b": 1})


def test_a_key_is_the_sha256_of_canonical_json():
    canonical = b'{"a": [2], "b": 1}'
    assert cells.digest({"b": 1, "a": [2]}) == hashlib.sha256(canonical).hexdigest()


def test_a_cell_travels_as_json():
    assert Cell(**json.loads(json.dumps(CELL.to_dict()))) == CELL


def test_a_rate_is_chosen_for_all_seeds_at_once():
    assert len({replace(CELL, seed=seed, rate=rate).selection for seed in (0, 1) for rate in (None, 1e-3)}) == 1
    others: list[dict[str, Any]] = [
        {"task": "sr_x2"},
        {"steps": 5},
        {"options": {"rank": 5, "alpha": 1.0}},
        {"track": "open"},
    ]
    assert len({CELL.selection, *(replace(CELL, **other).selection for other in others)}) == 5


def test_its_name_says_what_it_is():
    assert str(CELL) == "ipt-nano · lora · sr_x4 · seed 0"
    assert CELL.at(0.5).rate == 0.5

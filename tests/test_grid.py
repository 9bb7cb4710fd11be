"""Test the syntax of grids: labels can be read back, and errors name the wrong part."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.task import Data, Task


@dataclass(frozen=True)
class Knobs(Method):
    name = "knobs"
    idea = "One option of each kind."
    size = "rank"

    rank: int = 4
    alpha: float = 1.0
    gated: bool = True
    where: str = "mlp"
    depth: int | None = None

    def adapt(self, backbone: Backbone) -> None:
        raise AssertionError


@dataclass(frozen=True)
class Fixed(Method):
    name = "fixed"
    idea = "No options."

    def adapt(self, backbone: Backbone) -> None:
        raise AssertionError


VALID: dict[str, type[Method]] = {"knobs": Knobs, "fixed": Fixed}
KNOBS = st.builds(
    Knobs,
    rank=st.integers(1, 10**6),
    alpha=st.floats(allow_nan=False, allow_infinity=False),
    gated=st.booleans(),
    where=st.text("abcxyz_-", min_size=1),
    depth=st.none() | st.integers(0, 99),
)


@given(st.lists(KNOBS | st.just(Fixed()), min_size=1, max_size=4))
def test_labels_are_read_back_as_the_same_methods(chosen):
    assert grid.methods(", ".join(method.label for method in chosen), VALID) == list(dict.fromkeys(chosen))


@given(KNOBS)
def test_options_of_a_record_give_the_method_back(method):
    assert grid.restored(Knobs, method.options()) == method


def test_listed_values_are_combined():
    found = grid.methods("knobs[rank=4,8; alpha=1,2],fixed", VALID)
    assert found == [Knobs(4, 1), Knobs(4, 2), Knobs(8, 1), Knobs(8, 2), Fixed()]
    assert [method.label for method in found] == [
        "knobs", "knobs[alpha=2]", "knobs[rank=8]", "knobs[rank=8; alpha=2]", "fixed",
    ]  # fmt: skip


def test_star_and_repetition():
    assert grid.methods("fixed,*,fixed", VALID) == [Fixed(), Knobs()]
    assert grid.choose("task", "b,*,b", {"a": 1, "b": 2}) == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("knob", "unknown method 'knob'; did you mean 'knobs'?"),
        ("zzz", "unknown method 'zzz'; valid: fixed, knobs"),
        ("knobs[rnak=4]", "unknown option of knobs 'rnak'; did you mean 'rank'?"),
        ("fixed[rank=4]", "unknown option of fixed 'rank'; valid: none"),
        ("knobs[rank=four]", "knobs[rank]='four' is of the wrong type; expected int"),
        ("knobs[rank=4.5]", "knobs[rank]='4.5' is of the wrong type; expected int"),
        ("knobs[alpha=much]", "knobs[alpha]='much' is of the wrong type; expected float"),
        ("knobs[alpha=nan]", "knobs[alpha]='nan' is of the wrong type; expected float"),
        ("knobs[alpha=inf]", "knobs[alpha]='inf' is of the wrong type; expected float"),
        ("knobs[gated=1]", "knobs[gated]='1' is of the wrong type; expected bool"),
        ("knobs[depth=x]", "knobs[depth]='x' is of the wrong type; expected int or none"),
        ("knobs[rank]", "option 'rank' of knobs is not of the form name=value"),
        ("knobs[rank=]", "option 'rank=' of knobs is not of the form name=value"),
        ("knobs[rank=0]", "knobs: rank is 0, expected a positive whole number"),
        ("knobs[rank=4", "method 'knobs[rank=4' is not of the form"),
        ("knobs@1.2.3k", "method 'knobs@1.2.3k' is not of the form"),
        ("knobs@big", "method 'knobs@big' is not of the form"),
        (" , ", "no method was named; valid: fixed, knobs"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(text, line):
    with pytest.raises(PetlirError) as caught:
        grid.methods(text, VALID)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


IMAGES = Data("a", "b", ("c",))
NOISE = {"soft": {}, "hard": {"scale": 2}, "odd": {"scale": 3}}
TASKS = {
    "plain": Task("plain", "Plain", None, ("rgb",), {"demo": IMAGES}),
    "varied": Task("varied", "Varied", None, ("rgb",), {"demo": IMAGES, "open": IMAGES}, variants={
        "noise": NOISE, "train": {"few": {}, "many": {"data": {"open": IMAGES}}},
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("varied,plain", ["varied", "plain"]),
        ("*,varied", ["plain", "varied"]),
        ("varied[noise=soft]", ["varied"]),
        ("varied[noise=hard,soft,hard]", ["varied[noise=hard]", "varied"]),
        ("varied[ noise = odd ]", ["varied[noise=odd]"]),
    ],
)
def test_tasks_are_read_with_their_options(text, labels):
    assert [task.label for task in grid.tasks(text, TASKS, "demo")] == labels


def test_options_of_a_task_stand_in_its_own_order():
    (found,) = grid.tasks("varied[train=many; noise=odd]", TASKS, "open")
    assert found.label == "varied[noise=odd; train=many]"
    assert found.title == "Varied[noise=odd; train=many]"
    assert (found.scale, set(found.data)) == (3, {"open"})
    assert grid.task(found.label, TASKS) == found


@given(st.sampled_from(list(NOISE)), st.sampled_from(["few", "many"]))
def test_labels_of_tasks_are_read_back(noise, train):
    found = TASKS["varied"].varied({"noise": noise, "train": train})
    assert grid.task(found.label, TASKS) == found


def test_a_star_leaves_out_what_has_no_images_on_the_track():
    assert [task.label for task in grid.tasks("*", TASKS, "open")] == ["varied"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("vried", "unknown task 'vried'; did you mean 'varied'?"),
        ("varied[nois=hard]", "unknown option of task varied 'nois'; did you mean 'noise'?"),
        ("plain[noise=hard]", "unknown option of task plain 'noise'; valid: images"),
        ("varied[noise=hrd]", "unknown value of varied[noise] 'hrd'; did you mean 'hard'?"),
        ("varied[noise]", "option 'noise' of varied is not of the form name=value"),
        ("varied@20k", "task 'varied@20k' is not of the form name[option=value,value; option=value]"),
        ("varied[train=many]", "unknown track for task varied[train=many] 'demo'"),
        (" , ", "no task with images on track demo was named; valid: plain, varied"),
    ],
)
def test_what_is_wrong_with_a_task_is_named(text, line):
    with pytest.raises(PetlirError) as caught:
        grid.tasks(text, TASKS, "demo")
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "0,-2", "4294967296"])
def test_seeds_that_are_none(text):
    with pytest.raises(PetlirError, match=r"^--seeds .*expected"):
        grid.seeds(text)


def test_seeds_in_the_order_given():
    assert grid.seeds("2, 0,1,2") == [2, 0, 1]


@pytest.mark.parametrize(
    ("size", "wanted"), [("250k", 250_000), ("1.5M", 1_500_000), ("300", 300), ("0.6%", 6_000), (".5%", 5_000)]
)
def test_a_size_in_parameters(size, wanted):
    assert grid.target(size, 1_000_000) == wanted


@given(st.integers(1, 500), st.integers(0, 9), st.integers(0, 50), st.integers(0, 5_000))
def test_the_size_option_comes_nearest(slope: int, curvature: int, offset: int, wanted: int) -> None:
    def size(rank: int) -> int:
        return curvature * rank**2 + slope * rank + offset

    def count(method: Method) -> int:
        assert isinstance(method, Knobs)
        return size(method.rank)

    found = count(grid.solve(Knobs(alpha=3), wanted, count))
    best = min(map(size, range(1, wanted // slope + 3)), key=lambda one: abs(one - wanted))
    assert abs(found - wanted) == abs(best - wanted)


def test_the_size_reaches_every_method_of_a_star():
    asked: list[tuple[str, str]] = []

    def resize(method: Method, size: str) -> Method:
        asked.append((method.name, size))
        return method

    grid.methods("*@20k,fixed", VALID, resize)
    assert asked == [("knobs", "20k"), ("fixed", "20k")]


def test_a_method_without_a_size_stays_as_it_is():
    assert grid.solve(Fixed(), 100, lambda method: 0) == Fixed()


@pytest.mark.parametrize("options", [{"rank": 4, "width": 2}, {"other": 1}])
def test_options_of_another_version_are_refused(options):
    with pytest.raises(PetlirError, match="options of knobs do not match this version of petlir: "):
        grid.restored(Knobs, options)


@pytest.mark.parametrize("name", sorted(find().methods))
def test_every_method_keeps_its_options_through_a_label(name):
    valid = find().methods
    assert grid.methods(name, valid) == [valid[name]()]
    assert grid.methods(valid[name]().label, valid) == [valid[name]()]


def test_a_size_that_stops_growing_ends_the_search():
    def count(method: Method) -> int:
        assert isinstance(method, Knobs)
        return 100 * min(method.rank, 7)

    assert count(grid.solve(Knobs(alpha=3), 10_000, count)) == 700


def test_a_star_stands_for_a_family_only_where_it_is_named():
    valid = {"lora": 1, "adapter": 2, "peft:lora": 3, "peft:loha": 4}
    assert grid.choose("method", "*", valid) == ["lora", "adapter"]
    assert grid.choose("method", "peft:*,lora", valid) == ["peft:lora", "peft:loha", "lora"]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (1050, ""),
        (950, ""),
        (1051, "knobs[alpha=3] trains 1,051 parameters, 5.1% above the 1,000 requested: no value of rank comes nearer"),
        (900, "knobs[alpha=3] trains 900 parameters, 10.0% below the 1,000 requested: no value of rank comes nearer"),
    ],
)
def test_a_size_that_is_missed_is_said(found, line):
    assert grid.missed(Knobs(alpha=3), 1000, found) == line


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('pairs:"/a, b/c",denoise_30', ["pairs:/a, b/c", "denoise_30"]),
        ('"pairs:/photos [1], two"', ["pairs:/photos [1], two"]),
        ("lora[rank=4,8], adapter", ["lora[rank=4,8]", "adapter"]),
        ('pairs:a"b', ['pairs:a"b']),
        ('pairs:"a (1)% #?+",pairs:"b,"', ["pairs:a (1)% #?+", "pairs:b,"]),
    ],
)
def test_commas_in_quotes_do_not_separate(text, items):
    assert [grid.unquoted(item) for item in grid.split(text)] == items


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rank", "8"),
        ("rank", 8.0),
        ("rank", True),
        ("rank", None),
        ("rank", [8]),
        ("alpha", "1.0"),
        ("alpha", False),
        ("alpha", float("nan")),
        ("alpha", float("inf")),
        ("gated", 1),
        ("where", 3),
        ("depth", "none"),
        ("depth", {}),
    ],
)
def test_options_of_a_record_have_their_types(option, value):
    with pytest.raises(PetlirError, match=rf"^knobs\[{option}\]=.* is of the wrong type; expected "):
        grid.restored(Knobs, Knobs().options() | {option: value})
    for fitting in ({"alpha": 2}, {"depth": 3}, {"depth": None}):
        assert grid.restored(Knobs, Knobs().options() | fitting) == Knobs(**fitting)

"""Parsing of grids, which combine methods such as `lora[rank=4,8]` with tasks, backbones and seeds."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from fnmatch import fnmatchcase
from functools import cache
from types import NoneType, UnionType
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.task import Task

ITEM = re.compile(r"(?P<name>[\w:*?-]+)(?:\[(?P<options>[^\]]*)\])?(?:@(?P<size>\d*\.?\d+[kKmM%]?))?")
ITEMS = re.compile(r'(?:"[^"]*"|\[[^\]]*\]|[^,])+')
UNITS = {"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "": 1.0}

NEAR = 0.05
"""Tolerance on the requested size of a method, as a fraction of that size."""
FURTHEST = 16
"""The maximum factor between successive values in the upward search for the value that gives a requested size."""

V = TypeVar("V")


def split(text: str) -> list[str]:
    """Split a comma-separated list; commas in brackets or double quotes do not separate items.

    >>> split('lora[rank=4,8],adapter,pairs:"a, b"')
    ['lora[rank=4,8]', 'adapter', 'pairs:"a, b"']
    """
    return [item.strip() for item in ITEMS.findall(text) if item.strip()]


def unquoted(item: str) -> str:
    """Return an item of a list without its double quotes.

    >>> unquoted('pairs:"a, b"')
    'pairs:a, b'
    """
    return re.sub(r'"([^"]*)"', r"\1", item)


def choose(kind: str, text: str, valid: Mapping[str, V]) -> list[str]:
    """Return the names in a comma-separated list; the error for an unknown name suggests the nearest valid name.

    The wildcards `*` and `?` do not match the colon in the names of a family: `*` selects everything except families,
    and `peft:*` selects the whole family `peft`.
    """
    names: list[str] = []
    for pattern in split(text):
        found = [name for name in valid if fnmatchcase(name, pattern) and name.count(":") == pattern.count(":")]
        if not found:
            raise unknown(kind, pattern, valid)
        names.extend(found)
    if not names:
        raise PetlirError(f"no {kind} was named; valid: {', '.join(sorted(valid))}")
    return list(dict.fromkeys(names))


LARGEST_SEED = 2**32 - 1
"""The largest seed that every library accepts."""


def seeds(text: str) -> list[int]:
    """Parse seeds, e.g. `0,1,2`."""
    try:
        found = [int(item) for item in split(text)]
    except ValueError:
        raise PetlirError(f"--seeds {text!r}: expected whole numbers separated by commas, e.g. 0,1,2") from None
    if not found or min(found) < 0 or max(found) > LARGEST_SEED:
        raise PetlirError(f"--seeds {text!r}: expected at least one seed, each from 0 to {LARGEST_SEED}")
    return list(dict.fromkeys(found))


def methods(
    text: str, valid: Mapping[str, type[Method]], resize: Callable[[Method, str], Method] | None = None
) -> list[Method]:
    """Parse a selection of methods.

    Args:
        text: e.g. `lora[rank=4,8; alpha=4],adapter,*@250k`; commas separate methods, and the values of an option;
            semicolons separate options.
        valid: the available methods by name.
        resize: function that scales a method to the size after `@`, e.g. `250k` or `0.6%`.
    """
    found: list[Method] = []
    for item in split(text):
        match = ITEM.fullmatch(item)
        if match is None:
            raise PetlirError(f"method {item!r} is not of the form name[option=value,value; option=value]@size")
        for name in choose("method", match["name"], valid):
            expanded = _expand(valid[name], match["options"] or "")
            found += [resize(method, match["size"]) if match["size"] and resize else method for method in expanded]
    if not found:
        raise PetlirError(f"no method was named; valid: {', '.join(sorted(valid))}")
    return list(dict.fromkeys(found))


def tasks(text: str, valid: Mapping[str, Task], track: str) -> list[Task]:
    """Parse a selection of tasks.

    Args:
        text: e.g. `sr_x4,hybrid_lr4_noise30[noise=rounded,truncated]`.
        valid: the available tasks by name.
        track: the track; `*` skips tasks that have no images on this track.
    """
    found: list[Task] = []
    for item in split(text):
        match = ITEM.fullmatch(item)
        if match is None and "[" not in item:
            raise unknown("task", item, valid)
        if match is None or match["size"]:
            raise PetlirError(f"task {item!r} is not of the form name[option=value,value; option=value]")
        for name in choose("task", match["name"], valid):
            values = _listed(match["options"] or "", name)
            varied = [valid[name].varied(options) for options in _combinations(values)]
            found += [task for task in varied if match["name"] != "*" or track in task.data]
    if not found:
        raise PetlirError(f"no task with images on track {track} was named; valid: {', '.join(sorted(valid))}")
    for task in found:
        task.on(track)
    return list({task.label: task for task in found}.values())


def task(label: str, valid: Mapping[str, Task]) -> Task:
    """Return the task with a label such as `derain_light[train=Rain13K]`."""
    match = ITEM.fullmatch(label)
    name = match["name"] if match else label
    if name not in valid:
        raise unknown("task", name, valid)
    options = _listed((match["options"] or "") if match else "", name)
    return valid[name].varied({option: values[0] for option, values in options.items()})


def _expand(method: type[Method], text: str) -> Iterator[Method]:
    """Yield the method with every combination of the listed values."""
    types = _types(method)
    names = [field.name for field in fields(method)]
    values: dict[str, list[object]] = {}
    for name, listed in _listed(text, method.name).items():
        if name not in names:
            raise unknown(f"option of {method.name}", name, names)
        values[name] = [_value(item, types[name], f"{method.name}[{name}]") for item in listed]
    for combination in _combinations(values):
        yield method(**combination)


def _listed(text: str, owner: str) -> dict[str, list[str]]:
    """Return the values by option, e.g. two values of `rank` and one value of `alpha` for `rank=4,8; alpha=4`."""
    values: dict[str, list[str]] = {}
    for part in filter(str.strip, text.split(";")):
        name, equals, listed = (piece.strip() for piece in part.partition("="))
        if not equals or not listed:
            raise PetlirError(f"option {part.strip()!r} of {owner} is not of the form name=value")
        values[name] = [item.strip() for item in listed.split(",")]
    return values


def _combinations(values: Mapping[str, Sequence[V]]) -> Iterator[dict[str, V]]:
    """Yield every combination of one value per option."""
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _value(text: str, wanted: object, where: str) -> object:
    """Convert the text of an option's value to the option's type."""
    choices = _choices(wanted)
    if NoneType in choices and text.lower() == "none":
        return None
    for kind in choices:
        if kind is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind in (int, float):
            with suppress(ValueError):
                number = kind(text)
                if math.isfinite(number):
                    return number
        if kind is str:
            return text
    raise PetlirError(f"{where}={text!r} is of the wrong type; expected {_listing(choices)}")


def _choices(wanted: object) -> tuple[type, ...]:
    choices = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    return cast("tuple[type, ...]", choices)


def _listing(choices: Sequence[type]) -> str:
    return " or ".join("none" if kind is NoneType else getattr(kind, "__name__", str(kind)) for kind in choices)


def target(size: str, total: int) -> int:
    """Return the number of parameters denoted by `250k`, `1.5M` or `0.6%` (of `total`)."""
    if size.endswith("%"):
        return round(float(size[:-1]) / 100 * total)
    number, unit = (size[:-1], size[-1]) if size[-1] in UNITS else (size, "")
    return round(float(number) * UNITS[unit])


def solve(method: Method, wanted: int, count: Callable[[Method], int]) -> Method:
    """Return the method with its size option chosen such that `count` is nearest to `wanted`.

    A method that has no size option, or that is not trained, is returned unchanged.
    """
    option = method.size
    if option is None or not method.trains:
        return method

    def at(value: int) -> Method:
        return type(method)(**{**method.options(), option: value})

    @cache
    def counted(value: int) -> int:
        return count(at(value))

    def on_line(low: int, high: int) -> int:
        """Return the largest value with a count below `wanted` on the line through the counts at `low` and `high`."""
        return low + (wanted - 1 - counted(low)) * (high - low) // (counted(high) - counted(low))

    low, high, before = 1, 2, 0
    while before < (now := counted(high)) < wanted:  # the count stops growing once the rank is full
        reached = on_line(low, high) + 1 if counted(low) < now else 0
        low, high, before = high, max(2 * high, min(reached, FURTHEST * high)), now
    interpolations = 2  # counts that are not linear are bisected
    while high - low > 1:
        middle = (low + high) // 2
        if interpolations and counted(low) < counted(high):
            interpolations -= 1
            middle = min(max(on_line(low, high), low + 1), high - 1)
        low, high = (middle, high) if counted(middle) < wanted else (low, middle)
    return at(min(low, high, key=lambda value: abs(counted(value) - wanted)))


def sized(method: Method, size: str, total: int, count: Callable[[Method], int]) -> tuple[Method, str]:
    """Return the method scaled to `size` (see `target`), and a message if it misses the size (see `missed`)."""
    wanted, counted = target(size, total), cache(count)
    found = solve(method, wanted, counted)
    return found, missed(found, wanted, counted(found))


def missed(method: Method, wanted: int, found: int) -> str:
    """Return a message if a trained method's size differs from the requested size by over 5 %, else an empty one."""
    if not method.trains or abs(found - wanted) <= NEAR * wanted:
        return ""
    apart = f"{abs(found / wanted - 1):.1%} {'above' if found > wanted else 'below'} the {wanted:,} requested"
    nearest = f"no value of {method.size} comes nearer" if method.size else "the method has no size option"
    return f"{method.label} trains {found:,} parameters, {apart}: {nearest}"


def restored(method: type[Method], options: Mapping[str, object]) -> Method:
    """Return the method with the options that a record or a job contains."""
    missing = [f.name for f in fields(method) if f.name not in options and f.default is MISSING]
    stray = [name for name in options if name not in {f.name for f in fields(method)}]
    if missing or stray:
        raise PetlirError(f"options of {method.name} do not match this version of petlir: {', '.join(missing + stray)}")
    types = _types(method)
    for name, value in options.items():
        choices = _choices(types[name])
        if not any(_is_of(value, kind) for kind in choices):
            raise PetlirError(f"{method.name}[{name}]={value!r:.60} is of the wrong type; expected {_listing(choices)}")
    return method(**options)


@cache
def _types(method: type[Method]) -> dict[str, object]:
    """Return the types of a method's options; the types are cached, because planning needs them for every cell."""
    return get_type_hints(method)


def _is_of(value: object, kind: object) -> bool:
    """Return True if the value is of type `kind`; values of types that a grid cannot express are not checked."""
    if kind in (bool, str, NoneType):
        return type(value) is kind
    if kind is int:
        return type(value) is int
    if kind is float:
        return type(value) in (int, float) and abs(cast("float", value)) < math.inf
    return True

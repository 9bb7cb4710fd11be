"""Pair degraded and clean images by the common naming conventions of folders and files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeVar

from petlir.benchmark.errors import PetlirError

T = TypeVar("T")
Side = Literal["clean", "degraded"]

CLEAN = ("clean", "target", "gt", "high", "hq", "norain", "sharp", "hr", "normal", "reference", "original", "mean")
DEGRADED = ("degraded", "input", "noisy", "low", "lq", "rain", "rainy", "blur", "blurred", "blurry", "lr", "real")
"""Case-insensitive words that mark a folder, column or file as clean or degraded; error messages suggest the first."""
WORDS = "|".join(sorted((*CLEAN, *DEGRADED), key=len, reverse=True))
AFFIXES = (
    re.compile(rf"^(?:{WORDS})(?:[-_. ]+|(?=\d))", re.IGNORECASE),
    re.compile(rf"[-_. ]+(?:{WORDS})$", re.IGNORECASE),
    re.compile(r"[-_. ]*(?<![a-z])x[1-9]$|(?<=\d)x[1-9]$", re.IGNORECASE),
)
"""Affixes that differ between partners, e.g. `rain-1` and `norain-1`, `5_noisy` and `5_clean`, `0801x4` and `0801`."""
RULE = "partners must have equal names, except for affixes such as rain-/norain-, _noisy/_clean and x4"
SHOWN = 3


def side(word: str) -> Side | None:
    """Return the side, clean or degraded, that the name of a folder or column indicates, or None for other names.

    >>> side("GT"), side("LR_bicubic"), side("photos")
    ('clean', 'degraded', None)
    """
    first = re.split(r"[-_. ]", word.lower())[0]
    for name in (word.lower(), first):
        if name in CLEAN:
            return "clean"
        if name in DEGRADED:
            return "degraded"
    return None


def token(name: str) -> str:
    """Return the part of an image's name that degraded and clean partners share.

    >>> token("norain-001"), token("0801x4"), token("street_noisy")
    ('001', '0801', 'street')
    """
    name = composed(name)
    for affix in AFFIXES:
        name = affix.sub("", name) or name
    return name


def partners(clean: Mapping[str, T], degraded: Mapping[str, T]) -> dict[str, tuple[T, T]]:
    """Return name of the clean image → (degraded, clean) image, paired by equal names, or else by `token`.

    Raises:
        PetlirError: some images do not have exactly one partner; the message names the first of them and states their
            number.
    """
    found = joined(clean, degraded, (composed, token))
    alone = [str(clean[name]) for name in clean if name not in found]
    alone += [str(degraded[name]) for name in degraded if name not in found.values()]
    if alone:
        raise PetlirError(f"{_some(alone)} no partner: {RULE}")
    return {name: (degraded[found[name]], clean[name]) for name in clean}


def joined(names: Collection[str], others: Collection[str], forms: Sequence[Callable[[str], str]]) -> dict[str, str]:
    """Return the partner of each name: the equal name, otherwise the only name with the same form.

    Args:
        names: names to join.
        others: names of the possible partners.
        forms: functions name → form, applied in order to the names that do not have a partner yet.
    """
    found = {name: name for name in names if name in others}
    for form in forms:
        left, right = _by_form(set(names) - found.keys(), form), _by_form(set(others) - set(found.values()), form)
        found |= {name: right[key] for key, name in left.items() if key in right}
    return found


def composed(name: str) -> str:
    """Return a name with each accented letter as one character (NFC); some systems store two characters."""
    return unicodedata.normalize("NFC", name)


def _by_form(names: Collection[str], form: Callable[[str], str]) -> dict[str, str]:
    """Return form → name for each form that exactly one name has."""
    forms = Counter(map(form, names))
    return {form(name): name for name in names if forms[form(name)] == 1}


def _some(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} has"
    return f"{', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''} ({len(names)} images) have"

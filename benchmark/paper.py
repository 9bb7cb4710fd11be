"""Citations of methods and backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from petlir.benchmark.errors import unknown

ENTRY = re.compile(r"^@\w+\{(?P<key>[^,\s]+),\n(?P<fields>(?:  .*\n)+)\}", re.MULTILINE)
FIELD = re.compile(r"^  (?P<name>\w+) = \{(?P<text>.*)\},?$", re.MULTILINE)


@dataclass(frozen=True)
class Paper:
    """The paper that a method or a backbone comes from.

    Attributes:
        title: title as published.
        authors: one or two authors, or the first author followed by `et al.`
        venue: conference or journal, and year.
        bibtex: BibTeX entry.
        licence: licence of the authors' code; empty if no code or licence exists.
    """

    title: str
    authors: str
    venue: str
    bibtex: str
    licence: str = ""

    @classmethod
    def from_bib(cls, module: str, key: str, licence: str = "") -> Paper:
        """Return an entry of the file `papers.bib` in a module's folder.

        Args:
            module: the module's `__file__`.
            key: the entry's key.
            licence: licence of the authors' code.

        Raises:
            PetlirError: `papers.bib` has no entry with this key.
        """
        file = Path(module).with_name("papers.bib")
        entries = read(file)
        if key not in entries:
            raise unknown(f"entry of {file.name}", key, entries)
        fields = {found["name"]: found["text"] for found in FIELD.finditer(entries[key])}
        outlet = fields.get("booktitle") or fields["journal"]
        venue = "arXiv" if outlet.startswith("arXiv") else outlet
        return cls(
            _plain(fields["title"]), _short(fields["author"]), f"{venue} {fields['year']}", entries[key], licence
        )


@cache
def read(file: Path) -> Mapping[str, str]:
    """Return the entries of a BibTeX file by key; each field must be on a line of its own, as `  name = {text},`."""
    return {found["key"]: found[0] for found in ENTRY.finditer(file.read_text(encoding="utf-8"))}


def _plain(text: str) -> str:
    return re.sub(r"[{}]", "", text).replace("\\&", "&")


def _short(authors: str) -> str:
    families = [author.partition(",")[0] for author in authors.split(" and ")]
    return f"{families[0]} et al." if len(families) > 2 or families[-1] == "others" else " and ".join(families)

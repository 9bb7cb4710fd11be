"""Paths of the pages of tasks, methods, backbones and papers, whatever characters their names contain."""

from __future__ import annotations

import hashlib
import re

LONGEST = 60
"""The maximum number of characters of a name that its file name contains."""
TAKEN = ("", "index")
"""Reserved file names."""


def slug(name: str) -> str:
    """Return a file name for a name; different names get different file names on every file system."""
    plain = re.sub(r"[^a-z0-9._=+-]+", "-", name.lower()).strip("-.")[:LONGEST]
    return plain if plain == name and name not in TAKEN else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def page(kind: str, name: str) -> str:
    """Return the path, from the site's root, of the page of a task, method, backbone or paper: `tasks/sr_x4.html`."""
    return f"{kind}/{slug(name)}.html"

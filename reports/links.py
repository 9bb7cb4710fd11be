"""Where pages lie: a file name for each task, method, backbone and paper, whatever it is called."""

from __future__ import annotations

import hashlib
import re

LONGEST = 60
"""Letters of a name that are kept."""
TAKEN = ("", "index")
"""What no page of a name may be called."""


def slug(name: str) -> str:
    """A file name for a name; names that differ have different ones, on every file system."""
    plain = re.sub(r"[^a-z0-9._=+-]+", "-", name.lower()).strip("-.")[:LONGEST]
    return plain if plain == name and name not in TAKEN else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def page(kind: str, name: str) -> str:
    """The page of a task, method, backbone or paper, from the top of the site: `tasks/sr_x4.html`."""
    return f"{kind}/{slug(name)}.html"

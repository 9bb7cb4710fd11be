"""Hooks of the documentation site: pages generated from the code, and links between the pages and the checkout."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

from petlir.reports.methods_reference import page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
TAKEN = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that are copied from the root of the checkout."""
LINK = re.compile(r"(?<!\!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and those copied from the checkout."""
    files.append(File.generated(config, "methods.md", content=page()))
    for name, source in TAKEN.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Redirect links between files of the checkout to pages of the site; links to other files become plain text."""
    name = page.file.src_uri
    here = posixpath.dirname(TAKEN.get(name, f"docs/{name}"))
    pages = {source: target for target, source in TAKEN.items()} | {
        f"docs/{file.src_uri}": file.src_uri for file in files
    }

    def linked(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = posixpath.normpath(posixpath.join(here, target))
        if place not in pages:
            return text
        return f"[{text}]({posixpath.relpath(pages[place], posixpath.dirname(name) or '.')}{anchor})"

    return LINK.sub(linked, markdown)

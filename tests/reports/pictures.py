"""Take the screenshots of reports for docs/: `nox -s pictures -- STORE NAME …`.

Screenshots of the image inspector need a store with its images.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from petlir.reports.site import write_report
from tests.reports.browser import chromium, opened

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = (
    ("report-light-1400", "index.html", "", "light", 1400, 1500),
    ("report-dark-390", "index.html", "", "dark", 390, 1500),
    ("inspector-light-1400", "pictures.html", "#task=sidd&right=full-ft", "light", 1400, 1150),
    ("inspector-dark-390", "pictures.html", "#task=sidd&right=full-ft", "dark", 390, 1150),
    ("task-light-1400", "tasks/derain_heavy.html", "", "light", 1400, 1500),
    ("explained", "explained/index.html", "", "light", 1400, 1500),
)
"""Name, page, address, colour scheme, width and height in pixels."""


def main(store: Path, names: Sequence[str]) -> None:
    """Write the screenshots with these names, reduced to 256 colours."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        site = write_report(store, Path(folder) / "site").parent
        for name, page, address, scheme, width, height in (one for one in PICTURES if one[0] in names):
            with opened(browser, site / page, address, width) as shown:
                shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                shown.set_viewport_size({"width": width, "height": height})
                shown.wait_for_load_state("load")
                shown.screenshot(path=DOCS / f"{name}.png")
            with Image.open(DOCS / f"{name}.png") as image:
                image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                    DOCS / f"{name}.png", optimize=True
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

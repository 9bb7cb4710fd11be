"""Run the commands of the tutorials, each page in its own folder with ten clean images in `clean/`.

Every `bash` block is run; commands that need a cluster or hours are in blocks without a language.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image

TUTORIALS = Path(__file__).parent / "tutorials"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
PICTURES, HEIGHT, WIDTH = 10, 64, 80


def draw(folder: Path) -> None:
    """Write smooth random images, each from its own fixed seed."""
    folder.mkdir()
    for number in range(PICTURES):
        coarse = np.random.default_rng(number).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        picture = PIL.Image.fromarray(coarse).resize((WIDTH, HEIGHT), PIL.Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")


def run(page: Path) -> int:
    """Run the blocks of a page and return the exit code of the first block that fails, or 0."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "clean")
        script = "set -ex\n" + "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
        return subprocess.run(["bash", "-c", script], cwd=folder, check=False).returncode


def main() -> int:
    """Run all tutorials or the named ones; return 1 if a command fails."""
    pages = [TUTORIALS / f"{name}.md" for name in sys.argv[1:]] or sorted(TUTORIALS.glob("*.md"))
    failed = [page.name for page in pages if run(page)]
    names = f"; failed: {', '.join(failed)}" if failed else ""
    sys.stderr.write(f"tutorials passed: {len(pages) - len(failed)} of {len(pages)}{names}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

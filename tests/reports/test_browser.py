"""The page in Chromium, driven by a script that is added to a copy of it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from reports.html import write_report
from tests.reports.stores import MALICIOUS, scores

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

COLUMN = """
const found = {errors: []};
window.addEventListener("error", (event) => found.errors.push(event.message));
const table = document.querySelector("table.results");
const titles = [...table.querySelectorAll("thead tr:first-child .task .title")];
const index = titles.findIndex((title) => title.textContent.startsWith("Super"));
const head = table.tHead.rows[1].cells[index];
const button = head.querySelector("button");
const row = ({ cells }) => [cells[0].textContent, cells[6 + index].dataset.psnr];
const shown = () => [...table.tBodies[0].rows].map(row);
"""


def driven(store, tmp_path, script, address=""):
    """What `script` put into `found`, run once the page is there."""
    assert CHROMIUM
    page = write_report(store, tmp_path / "out")
    done = "<script>{ %s; document.body.textContent = JSON.stringify(found) }</script></body>"
    copy = page.with_name("driven.html")
    copy.write_text(page.read_text().replace("</body>", done % (COLUMN + script)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    run = subprocess.run(
        [CHROMIUM, *flags, copy.as_uri() + address], capture_output=True, text=True, timeout=120, check=True
    )
    body = re.search(r"<body[^>]*>(.*)</body>", run.stdout, re.S)
    assert body, run.stderr
    return json.loads(body[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_sorting_filtering_and_switching(store, tmp_path):
    found = driven(
        store,
        tmp_path,
        """
        button.click(); found.down = shown(); found.first = head.getAttribute("aria-sort");
        button.click(); found.up = shown(); found.second = head.getAttribute("aria-sort");
        const filter = document.getElementById("filter");
        filter.value = "ADAPT"; filter.dispatchEvent(new Event("input"));
        found.left = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
        document.querySelector("input[value=ssim]").click();
        found.ssim = getComputedStyle(table.querySelector("td .v.ssim")).display;
        found.psnr = getComputedStyle(table.querySelector("td .v.psnr")).display;
        found.procedural = getComputedStyle(document.querySelector(".wide[data-domain=procedural]")).display;
        found.title = document.title;
        """,
    )
    down = [float(psnr) for _, psnr in found["down"] if psnr]
    assert down == sorted(down, reverse=True)
    assert found["down"][-1][1] == found["up"][-1][1] == ""
    up = [float(psnr) for _, psnr in found["up"] if psnr]
    assert up == sorted(up)
    assert (found["first"], found["second"]) == ("descending", "ascending")
    assert found["left"] == ["adapter"]
    assert (found["ssim"], found["psnr"], found["procedural"]) == ("inline", "none", "none")
    assert found["title"] == "petlir report"
    assert found["errors"] == []


def test_pictures_can_be_chosen(store, tmp_path):
    found = driven(
        store,
        tmp_path,
        """
        const pick = (name, text) => {
          const select = document.getElementById(`picture-${name}`);
          select.value = [...select.options].findIndex((option) => option.text.includes(text));
          select.dispatchEvent(new Event("change"));
        };
        pick("task", "Super"); pick("image", "coffee"); pick("left", "lora"); pick("right", "full-ft");
        const pair = [...document.querySelectorAll("img-comparison-slider img")];
        found.sources = pair.map((img) => img.getAttribute("src"));
        found.captions = ["left", "right"].map((side) => document.getElementById(`caption-${side}`).textContent);
        """,
    )
    assert all(source.endswith("/restored/photographs/coffee.png") for source in found["sources"])
    for caption, method in zip(found["captions"], ("lora", "full-ft"), strict=True):
        coffee = next(score for score in scores(method, "sr_x4", 0) if score["image"] == "coffee")
        assert caption == f"{method}  {coffee['psnr']:.2f} dB, SSIM {coffee['ssim']:.3f}"
    assert all((tmp_path / "out" / source).is_file() for source in found["sources"])


def test_the_address_keeps_order_and_filter(store, tmp_path):
    found = driven(
        store,
        tmp_path,
        """
        found.sorted = [...table.querySelectorAll("[aria-sort=ascending]")].map((head) => head.textContent.trim());
        found.left = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
        found.typed = document.getElementById("filter").value;
        head.querySelector("button").click();
        found.address = location.hash;
        """,
        "#sort=0.1.ascending&filter=f&metric=ssim",
    )
    assert found["sorted"] == ["trainableparameters"]
    assert found["left"] == ["frozen", "ssf", "full-ft"]
    assert found["typed"] == "f"
    assert re.fullmatch(r"#sort=0\.\d+\.descending&filter=f&metric=ssim", found["address"])
    assert found["errors"] == []


def test_what_is_shown_is_copied(store, tmp_path):
    found = driven(
        store,
        tmp_path,
        """
        found.copied = [];
        const writeText = async (text) => found.copied.push(text);
        Object.defineProperty(navigator, "clipboard", { value: { writeText } });
        for (const copy of document.querySelectorAll("[data-copy]")) copy.click();
        """,
        "#filter=l",
    )
    plain, markdown, latex = found["copied"]
    lines = list(csv.DictReader(io.StringIO(plain)))
    assert [line["method"] for line in lines] == [MALICIOUS, "lora", "full-ft"]  # equal sizes go by label
    (title,) = (name for name in lines[0] if name.startswith("Super") and "y-crop4" in name)
    psnr = [score["psnr"] for score in scores("full-ft", "sr_x4", 0) if score["domain"] == "photographs"]
    assert lines[-1][title] == f"{sum(psnr) / len(psnr):.2f}"
    assert f"| {title} |" in markdown.replace("\\", "")
    assert "**" not in markdown
    assert latex.count("textless{}/script") == 2
    assert latex.endswith("\\end{tabular}")
    assert found["errors"] == []

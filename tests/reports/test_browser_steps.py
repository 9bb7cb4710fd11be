"""Test what readers do on the pages in a real Chromium: fold, filter, sort, go back, narrow the window."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, unquote

import pytest

from petlir.reports.site import write_report
from tests.reports.browser import CHROMIUM, opened
from tests.reports.stores import ranked_records, record, smoke_records, write_store

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
TABLE = "table.results >> nth=0"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site of a smoke run with three sizes of LoRA and a task with two protocols, beside a reference."""
    folder = tmp_path_factory.mktemp("steps")
    sizes = [record("lora", task, label=f"lora[rank={rank}]") for task in ("sr_x4", "denoise_30") for rank in (4, 16)]
    records = [*smoke_records(), *sizes]
    for one in records:
        if one["cell"]["task"] == "denoise_30":
            one["scores"] += [{**score, "protocol": "y", "psnr": 30.0} for score in one["scores"]]
    reference = write_store(folder / "reference", ranked_records(3), images=False)
    return write_report(write_store(folder / "store", records), folder / "out", reference=reference).parent


def labels(page):
    return [text.split("\n")[0] for text in page.locator(TABLE).locator("tbody tr:visible th").all_inner_texts()]


def heads(page):
    return page.locator(TABLE).locator("thead tr:nth-child(2) th:visible").count()


def test_configurations_are_folded_under_their_method(browser, site):
    with opened(browser, site / "index.html") as page:
        folded = labels(page)
        assert "lora[rank=4]" not in folded
        assert "lora" in folded
        fold = page.locator(TABLE).locator("button.fold")
        assert fold.inner_text().endswith("3 further configurations")
        fold.click()
        assert {"lora[rank=4]", "lora[rank=16]"} <= set(labels(page))
        assert "open=lora" in page.url
        page.fill("#filter", "rank=16")
        assert labels(page) == ["lora[rank=16]"]
    with opened(browser, site / "index.html", "#filter=rank%3D4") as page:
        assert labels(page) == ["lora[rank=4]"]


def test_an_empty_filter_says_so_and_can_be_cleared(browser, site):
    with opened(browser, site / "index.html", "#filter=nothing+like+it") as page:
        assert labels(page) == []
        none = page.locator("#none")
        assert none.inner_text().startswith("No method matches “nothing like it”.")
        none.locator("button").click()
        assert none.is_hidden()
        assert "frozen" in labels(page)
        assert page.input_value("#filter") == ""


def test_back_takes_back_each_choice(browser, site):
    with opened(browser, site / "index.html") as page:
        first = labels(page)
        page.locator("input[name=metric][value=ssim]").check(force=True)
        page.locator(TABLE).locator("th[data-col=method] button").click()
        assert labels(page) == sorted(first, key=str.lower)
        assert unquote(page.url).endswith("#metric=ssim&sort=method.ascending")
        page.locator("[data-copy=csv]").scroll_into_view_if_needed()
        page.go_back()
        assert labels(page) == first
        assert page.locator("body").get_attribute("data-metric") == "ssim"
        page.go_back()
        assert page.locator("body").get_attribute("data-metric") == "psnr"
        assert page.locator("input[name=metric][value=psnr]").is_checked()
        page.go_forward()
        assert page.locator("body").get_attribute("data-metric") == "ssim"


def test_a_place_on_the_page_does_not_undo_a_choice(browser, site):
    with opened(browser, site / "index.html", "#metric=ssim") as page:
        page.evaluate("location.hash = '#size'")
        page.wait_for_timeout(50)
        assert page.locator("body").get_attribute("data-metric") == "ssim"


def test_columns_are_sorted_by_name_in_the_address(browser, site):
    with opened(browser, site / "index.html", "#sort=sr_x4.descending") as page:
        head = page.locator(TABLE).locator("th[data-col=sr_x4]")
        assert head.get_attribute("aria-sort") == "descending"
        assert labels(page)[0] in ("full-ft", "cascade")
    with opened(browser, site / "index.html", "#sort=no_such_task.descending") as page:
        assert page.locator("[aria-sort=descending]").count() == 0


def test_further_protocols_are_behind_a_switch(browser, site):
    with opened(browser, site / "index.html") as page:
        assert heads(page) == 3
        page.locator("input[name=protocols][value=every]").check(force=True)
        assert heads(page) == 4


def test_a_narrow_window_shows_one_task(browser, site):
    with opened(browser, site / "index.html", width=390) as page:
        assert heads(page) == 1
        shown = page.locator(TABLE).locator("thead .task:visible")
        before = shown.inner_text()
        page.locator("#task").select_option("hybrid_lr4_noise30")
        assert shown.inner_text() != before
        assert shown.get_attribute("data-task") == "hybrid_lr4_noise30"
        cells = page.locator(TABLE).locator("tbody tr").first.locator("td.quality:visible")
        assert cells.count() == 1
        page.go_back()
        assert shown.inner_text() == before
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with opened(browser, site / "index.html") as page:
        assert page.locator("#task").is_hidden()


def test_a_number_leads_to_images_curve_command_and_record(browser, site):
    with opened(browser, site / "index.html") as page:
        row = page.locator(TABLE).locator("tbody tr", has=page.locator("th a", has_text=re.compile("^adapter$")))
        row.locator("td.quality a.run").first.click()
        page.wait_for_selector("h1")
        assert page.locator("h1").inner_text().startswith("adapter on ")
        assert page.locator("svg[aria-label='Training loss over the steps']").count() == 1
        assert page.locator("pre").inner_text().startswith("petlir run -b ipt-nano -m adapter ")
        (key,) = page.locator("table.words th a").evaluate_all("links => links.map(link => link.href)")
        record_file = site / "records" / key.rpartition("/")[2]
        assert json.loads(record_file.read_text())["cell"]["label"] == "adapter"
        assert page.locator(".gallery img").first.evaluate("image => image.complete && image.naturalWidth > 0")
        page.locator(".gallery a").first.click()
        page.wait_for_selector("[data-part=right]")
        assert page.locator("[data-part=right]").input_value() == "adapter"


def test_images_open_on_the_largest_difference(browser, site):
    with opened(browser, site / "pictures.html") as page:
        gallery = json.loads(page.locator("#gallery").text_content() or "")
        widest = max(
            (image for entry in gallery for image in entry["images"] if image["contrast"]),
            key=lambda image: image["contrast"]["levels"],
        )
        names = [picture["label"] for picture in widest["pictures"]]
        assert page.locator("[data-part=image]").input_value() == f"{widest['set']}/{widest['name']}"
        assert page.locator("[data-part=left]").input_value() == names[widest["contrast"]["left"]]
        assert page.locator("[data-part=right]").input_value() == names[widest["contrast"]["right"]]
        box = page.locator("#inspector .side-by-side").bounding_box()
        assert box and box["width"] > 1200
        page.locator("[data-part=right]").select_option("clean")
        assert parse_qs(page.url.partition("#")[2])["right"] == ["clean"]
        page.go_back()
        assert page.locator("[data-part=right]").input_value() == names[widest["contrast"]["right"]]


def test_the_first_page_opens_with_a_picture_pair(browser, site):
    with opened(browser, site / "index.html") as page:
        pair = page.locator(".pair .piece img")
        assert pair.count() == 2
        top = pair.first.bounding_box()
        assert top and top["y"] < 400
        page.locator(".pair a").click()
        page.wait_for_selector("[data-part=left]")
        assert page.locator("[data-part=left]").input_value() == "frozen"


def test_the_reference_is_shown_beside_the_store(browser, site):
    with opened(browser, site / "index.html") as page:
        reference = page.locator("#reference")
        assert reference.inner_text().count("Best on ") == 3
        assert reference.locator("a.run").count() == 0
        assert "too short to rank" in page.locator("h1").inner_text()

"""Test the site in a real Chromium: sorting, filtering, copying, inspecting images, and accessibility checks by axe."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from axe_core_python.sync_playwright import Axe
from skimage.io import imread, imsave

from petlir.reports.site import write_report
from tests.reports.analysed import write_analyses
from tests.reports.browser import CHROMIUM, opened
from tests.reports.stores import MALICIOUS, ranked_records, scores, smoke_records, write_store

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
TABLE = "table.results >> nth=0"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return write_report(write_store(folder / "store", smoke_records()), folder / "out").parent


@pytest.fixture(scope="module")
def ranked_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranked")
    store = write_store(folder / "store", ranked_records(3))
    write_analyses(store)
    return write_report(store, folder / "out").parent


def column(page, title):
    """Return the index of a task's column among the task columns of the first table."""
    titles = page.locator(TABLE).locator("thead .task .title").all_inner_texts()
    return next(index for index, text in enumerate(titles) if text.startswith(title))


def shown(page, index):
    """Return the method and the PSNR of each visible row."""
    rows = page.locator(TABLE).locator("tbody tr:visible").all()
    return [
        (row.locator("th").inner_text(), row.locator("td.quality").nth(index).get_attribute("data-psnr"))
        for row in rows
    ]


def test_sorting_filtering_and_switching(browser, site):
    with opened(browser, site / "index.html") as page:
        index = column(page, "Super")
        head = page.locator(TABLE).locator("thead tr:nth-child(2) th").nth(index)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        down = [psnr for _, psnr in shown(page, index)]
        assert down[-1] == ""
        assert [float(psnr) for psnr in down if psnr] == sorted((float(p) for p in down if p), reverse=True)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        up = [psnr for _, psnr in shown(page, index)]
        assert up[-1] == ""
        assert [float(psnr) for psnr in up if psnr] == sorted(float(p) for p in up if p)
        page.fill("#filter", "ADAPT")
        assert [label for label, _ in shown(page, index)] == ["adapter"]
        page.get_by_text("SSIM", exact=True).click()
        assert page.locator(TABLE).locator("tbody tr:visible .v.ssim").first.is_visible()
        assert not page.locator(TABLE).locator("tbody tr:visible .v.psnr").first.is_visible()
        assert page.locator(".wide[data-domain=procedural]:visible").count() == 0
        assert page.title() == "petlir report"


def test_tasks_that_were_seen_can_be_set_apart(browser, site):
    with opened(browser, site / "index.html", "#tasks=unseen") as page:
        table = page.locator(TABLE)
        assert [text for text in table.locator("thead .task:visible").all_inner_texts() if "unseen" not in text] == []
        assert (
            table.locator("thead .task:visible").count()
            == table.locator("tbody tr").first.locator("td.quality:visible").count()
            == 1
        )
        page.locator("input[name=tasks][value=any]").evaluate("input => input.click()")
        assert table.locator("thead .task:visible").count() == 3


def test_the_address_keeps_order_and_filter(browser, site):
    with opened(browser, site / "index.html", "#sort=parameters.ascending&filter=f&metric=ssim") as page:
        ordered = page.locator(TABLE).locator("[aria-sort=ascending]").all_inner_texts()
        assert [re.sub(r"\W+", " ", text).strip() for text in ordered] == ["trainable parameters"]
        assert [label for label, _ in shown(page, 0)] == ["frozen", "ssf", "full-ft"]
        assert page.input_value("#filter") == "f"
        page.locator(TABLE).locator("thead tr:nth-child(2) button").first.click()
        assert re.search(r"#sort=\w+\.descending&filter=f&metric=ssim$", page.url)


def test_what_is_shown_is_copied(browser, site):
    with opened(browser, site / "index.html", "#filter=l") as page:
        page.evaluate(
            """() => {
                window.copied = [];
                const writeText = async (text) => window.copied.push(text);
                Object.defineProperty(navigator, "clipboard", { value: { writeText } });
            }"""
        )
        for button in page.locator("[data-copy]").all():
            button.click()
        plain, markdown, latex = page.evaluate("window.copied")
    lines = list(csv.DictReader(io.StringIO(plain)))
    assert [line["method"] for line in lines] == [MALICIOUS, "lora", "full-ft"]  # equal sizes go by label
    (title,) = (name for name in lines[0] if name.startswith("Super") and "y-crop4" in name)
    identical, *rows = scores("full-ft", "sr_x4", 0)  # lora restores the first image exactly: it counts for no mean
    psnr = [row["psnr"] for row in rows if row["domain"] == "photographs" and row["image"] != identical["image"]]
    assert lines[-1][title] == f"{sum(psnr) / len(psnr):.2f}"
    assert f"| {title} |" in markdown.replace("\\", "")
    assert "**" not in markdown
    assert latex.count("textless{}/script") == 2
    assert latex.endswith("\\end{tabular}")


def choose(page, part, value):
    page.locator(f"[data-part={part}]").select_option(value)


def test_two_versions_stand_under_the_slider(browser, site):
    with opened(browser, site / "pictures.html") as page:
        choose(page, "task", "sr_x4")
        choose(page, "image", "photographs/coffee")
        choose(page, "left", "lora")
        choose(page, "right", "full-ft")
        for side, name, method in (("first", "left", "lora"), ("second", "right", "full-ft")):
            source = page.locator(f"[slot={side}] img").first.get_attribute("src") or ""
            assert source.endswith("/restored/photographs/coffee.png")
            assert (site / source).is_file()
            coffee = next(score for score in scores(method, "sr_x4", 0) if score["image"] == "coffee")
            caption = page.locator(f"[data-part={name}-caption]").inner_text()
            assert caption == f"{method} {coffee['psnr']:.2f} dB, SSIM {coffee['ssim']:.3f}"
        slider = page.locator("img-comparison-slider")
        before = slider.evaluate("element => element.value")
        slider.focus()
        page.keyboard.down("ArrowRight")
        page.wait_for_timeout(300)
        page.keyboard.up("ArrowRight")
        assert slider.evaluate("element => element.value") > before


def test_a_link_shows_one_place_in_every_version(browser, site):
    address = "#task=sr_x4&set=photographs&image=rocket&left=frozen&right=lora&x=8&y=20"
    with opened(browser, site / "pictures.html", address) as page:
        assert page.locator("[data-part=image]").input_value() == "photographs/rocket"
        assert page.locator("[data-part=left]").input_value() == "frozen"
        style = page.locator(".loupe").get_attribute("style") or ""
        assert "left: 12.5%" in style
        assert "top: 31.25%" in style
        places = {lens.get_attribute("style") for lens in page.locator(".lens img:not(.clean)").all()}
        assert places == {"width: 200%; height: 200%; left: -25%; top: -62.5%;"}
        page.keyboard.press("Shift+ArrowRight")
        assert re.search(r"x=12&y=20", page.url)
        again = page.url.partition("#")[2]
    with opened(browser, site / "pictures.html", f"#{again}") as page:
        assert "left: 18.75%" in str(page.locator(".loupe").get_attribute("style"))


def test_keys_step_through_images_versions_and_places(browser, site):
    with opened(browser, site / "pictures.html", "#task=sr_x4") as page:
        image, right = page.locator("[data-part=image]"), page.locator("[data-part=right]")
        first = image.input_value()
        page.keyboard.press("j")
        assert image.input_value() != first
        page.keyboard.press("k")
        assert image.input_value() == first
        assert right.input_value() == "clean"
        page.keyboard.press("]")
        assert right.input_value() == "degraded"
        page.keyboard.press("[")
        assert right.input_value() == "clean"
        page.keyboard.press("1")
        assert page.locator("[data-part=crops] button").first.get_attribute("aria-pressed") == "true"
        page.keyboard.press("e")
        assert page.locator("[data-part=map]").is_checked()
        assert "map=1" in page.url


def test_the_error_map_is_eight_times_the_difference(browser, site, tmp_path):
    """A difference of d grey levels between restored and clean image shows as 8·d, saturated at white."""
    folder = tmp_path / "store"
    one = smoke_records()[0]
    write_store(folder, [one])
    clean, shift = np.full((64, 64, 3), 100, np.uint8), 10
    for path in folder.rglob("*.png"):
        imsave(path, clean + (shift if "restored" in path.parts else 0), check_contrast=False)
    page_file = write_report(folder, tmp_path / "out").with_name("pictures.html")
    with opened(browser, page_file, f"#right=frozen&left=frozen&map=1&task={one['cell']['task']}") as page:
        page.wait_for_timeout(200)
        page.locator("[slot=first]").evaluate("e => e.closest('img-comparison-slider').value = 100")
        page.locator(".lens").nth(1).screenshot(path=tmp_path / "lens.png")
    seen = imread(tmp_path / "lens.png")[..., :3].astype(int)
    middle = seen[seen.shape[0] // 2, seen.shape[1] // 2]
    assert np.abs(middle - 8 * shift).max() <= 4, "grey levels are rounded before they are enlarged"


CONTRAST = {"color-contrast": {"enabled": False}}
"""Options that disable the rule that takes most of axe's time."""


@pytest.mark.parametrize(
    ("width", "scheme", "kinds", "rules"),
    [
        (1400, "light", False, {}), (360, "dark", False, {}), (1400, "light", True, CONTRAST),
        pytest.param(1400, "light", True, {}, marks=pytest.mark.long),
        pytest.param(360, "dark", True, {}, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_axe_finds_nothing_serious(browser, site, ranked_site, width, scheme, kinds, rules):
    """By default, colour contrast is checked on two pages only, because all pages use the same colours."""
    for path in one_of_each_kind(ranked_site) if kinds else (site / "index.html", site / "pictures.html"):
        with opened(browser, path, width=width) as page:
            page.emulate_media(color_scheme=scheme)
            page.evaluate(Axe().axe_script)
            options = {"resultTypes": ["violations"], "rules": rules}
            found = page.evaluate("options => axe.run(options).then(results => results.violations)", options)
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not grave, (path.name, [(one["id"], one["nodes"][0]["html"][:200]) for one in grave])


def test_no_page_is_wider_than_its_window(browser, ranked_site):
    for path in one_of_each_kind(ranked_site):
        with opened(browser, path) as page:
            for width in (1400, 360):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def one_of_each_kind(folder):
    """Return the top-level pages, each list, and the first task, method, backbone, paper and run."""
    kinds = [sorted(folder.glob(f"{kind}/*.html")) for kind in ("tasks", "methods", "backbones", "claims", "runs")]
    return [*sorted(folder.glob("*.html")), *folder.glob("*/index.html"),
            *(next(path for path in found if path.name != "index.html") for found in kinds)]  # fmt: skip

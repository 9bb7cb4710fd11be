from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from benchmark.errors import PetlirError
from reports.html import write_report
from tests.reports.stores import MALICIOUS, ranked_records, smoke_records, write_store

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """The page's elements; complains of tags that do not match."""

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


@pytest.fixture
def page(store, tmp_path):
    return write_report(store, tmp_path / "out")


def test_the_page_parses_and_ids_are_unique(page):
    parsed = Page(page.read_text())
    assert parsed.open == []
    ids = [attributes["id"] for _, attributes in parsed.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link[1:] for tag, a in parsed.attributes if tag == "a" and (link := a["href"] or "").startswith("#")}
    assert targets <= set(ids)


def test_every_cell_is_listed(page):
    text = page.read_text()
    keys = {one["key"][:8] for one in smoke_records()}
    assert all(f"<code>{key}</code>" in text for key in keys)


def test_states_look_different_and_say_why(page):
    text = page.read_text()
    for state, glyph, reason in (
        ("failed", "✕", "the loss is not a number at step 12"),
        ("out-of-memory", "▲", "CUDA out of memory"),
        ("not-applicable", "–", "sr_x4 is no sequence of single tasks"),
        ("missing", "·", "no record in this store"),
    ):
        assert f'<span class="state {state}" title="{reason}"><span class="glyph" aria-hidden="true">{glyph}' in text


def test_a_hostile_label_stays_text(page):
    text = page.read_text()
    assert MALICIOUS not in text
    assert text.count("<script") == 4
    assert MALICIOUS in "".join(Page(text).text)


def test_nothing_is_loaded_from_elsewhere(page):
    text = page.read_text()
    for tag, attributes in Page(text).attributes:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            link = attributes.get(name)
            assert link is None or not re.match(r"(https?:)?//", link), (tag, link)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|eval\(", text)


def test_pictures_lie_beside_the_page(page):
    sources = re.findall(r'"src": "(images/[^"]+)"', page.read_text())
    assert sources
    assert all((page.parent / source).is_file() for source in sources)


def test_a_torn_record_is_one_line(page):
    assert re.search(r"<li>cells/ipt-nano/sr_x4/torn-s0-00000000/record.json is not a[^\n]*</li>", page.read_text())


def test_pages_stay_small_and_bold_means_best(ranked, store, tmp_path):
    one, other = write_report(ranked, tmp_path / "a"), write_report(store, tmp_path / "b")
    assert one.stat().st_size < 2_000_000
    assert "tied with the best" in one.read_text()
    assert '<polyline class="frontier"' in one.read_text()
    assert not re.search(r"<td[^>]*>\s*<b>", other.read_text())
    assert '<polyline class="frontier"' not in other.read_text()


def test_a_second_report_replaces_the_first(store, tmp_path):
    page = write_report(store, tmp_path / "out")
    write_store(tmp_path / "other", ranked_records(1))
    again = write_report(tmp_path / "other", tmp_path / "out")
    assert page == again
    assert sorted(path.name for path in page.parent.iterdir()) == ["images", "index.html", "results.csv"]
    sources = set(re.findall(r'"src": "(images/[^"]+)"', page.read_text()))
    kept = {path.relative_to(page.parent).as_posix() for path in page.parent.glob("images/**/*.png")}
    assert kept == sources


def test_someone_elses_images_are_left_alone(store, tmp_path):
    mine = tmp_path / "out" / "images" / "holiday.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(PetlirError, match="no report's"):
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


def test_an_empty_store_is_an_error(tmp_path):
    with pytest.raises(PetlirError, match="holds no records"):
        write_report(tmp_path, tmp_path / "out")

"""Data Docs: readable without a network, without scripts, and with the findings on the first page."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from monitoring.data_docs import make_offline
from monitoring.quality import validate_tables
from tests.monitoring.sample_tables import context, sample

FETCHING = {"script", "link", "img", "iframe", "object", "embed", "source", "video", "audio", "base"}


class _Requests(HTMLParser):
    """Whatever a browser would fetch for a page, and the links that a person could follow."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in FETCHING or any(name in values for name in ("src", "srcset", "background", "data", "onclick")):
            self.fetched.append(self.get_starttag_text() or tag)
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "docs"
    tables = {
        "interactions": sample("interactions", {i: {"item_id": "<b>x</b>"} for i in range(9)}),
        "items": sample("items"),
    }
    reports = validate_tables(tables, context=context(), docs_folder=folder)
    assert {report.docs for report in reports.values()} == {folder / "index.html"}
    return folder


def test_no_page_fetches_anything_when_it_is_opened(folder: Path) -> None:
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == 1 + 2 * 3
    for page in pages:
        text = page.read_text()
        assert _Requests(text).fetched == [], page.name
        assert "://" not in text, page.name
        assert "url(" not in text, page.name
        assert "@import" not in text, page.name


def test_every_link_leads_somewhere_when_it_is_followed(folder: Path) -> None:
    for page in folder.glob("*.html"):
        text = page.read_text()
        for link in _Requests(text).links:
            file, _, anchor = link.partition("#")
            target = page if not file else folder / file
            assert target.is_file(), f"{page.name}: {link}"
            assert not anchor or f'id="{anchor}"' in target.read_text(), f"{page.name}: {link}"


def test_index_says_what_stopped_a_table_when_it_failed(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    assert "observed 22.5% of 40: item_id is not in items (9)" in text
    assert text.count("stopped</td>") == 1
    assert text.count("may be trained on</td>") == 1
    assert "Every expectation was met by every row." in text


def test_pages_keep_what_great_expectations_found_when_they_are_freed(folder: Path) -> None:
    text = (folder / "interactions-rows.html").read_text()
    assert "item_id is in items, in at least 95.0% of the rows." in text
    assert "22.5%" in text
    assert "fa-times" in text  # the mark of a failed expectation, drawn by our own style sheet
    assert '<a href="index.html">' in text


def test_results_are_kept_in_the_shape_of_great_expectations_when_docs_are_written(folder: Path) -> None:
    record = json.loads((folder / "interactions-rows.json").read_text())
    assert record["success"] is False
    assert record["suite_name"] == "interactions-rows"
    failed = {one["expectation_config"]["kwargs"]["column"] for one in record["results"] if not one["success"]}
    assert failed == {"item_id is in items", "is quarantined"}


def test_nothing_else_is_left_behind_when_docs_are_written(folder: Path) -> None:
    assert {path.suffix for path in folder.iterdir()} == {".html", ".json"}
    assert list(folder.parent.iterdir()) == [folder]


def test_offline_page_drops_what_is_fetched_and_keeps_the_words_when_a_page_has_both() -> None:
    page = (
        '<!DOCTYPE html><html><head><link href="https://x.test/a.css"><style>@import "https://x.test"</style></head>'
        '<body onload="go()"><nav><nav>menu</nav> logo</nav><p class="a" style="background:url(//x.test)">5 &lt; 6'
        ' &#233;</p><img src="https://x.test/a.png"><a href="https://x.test">out</a><a href="#here">in</a><br>'
        '<script>if (a < b) { document.write("<p>") }</script><footer>news</footer></body></html>'
    )
    freed = make_offline(page)
    body = freed[freed.index("<body>") :]
    assert body == (
        '<body><p><a href="index.html">All tables</a></p><p class="a">5 &lt; 6 &#233;</p>'
        '<a>out</a><a href="#here">in</a><br></body></html>'
    )
    assert freed.startswith("<!DOCTYPE html><html><head>")
    assert "x.test" not in freed

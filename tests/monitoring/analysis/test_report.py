"""The report: whole HTML, everything escaped, nothing fetched, no user, and readable without seeing the pictures."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from monitoring.analysis.drawing import draw
from monitoring.analysis.report import ROWS, Facts, render, write_report
from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import opened
from monitoring.analysis.suite import analyse_all
from recmodels.data import schema
from recmodels.errors import DataError
from tests.contracts.test_analyses import FULL, ITEMS, SEGMENTS, USERS
from tests.monitoring.analysis.tables import at, scope_of

_VOID = {"meta", "link", "br", "hr", "line", "circle"}
_EVIL = '"><script src=//evil.example/x.js></script>\u202e\x00&'


class Page(HTMLParser):
    """Checks that tags nest, and keeps what they are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def facts(name: str = "shop") -> Facts:
    return Facts(
        name=name,
        start=at(),
        end=at(days=14),
        events=1_500,
        users=40,
        label_words="a long view",
        confidence=0.95,
        is_order_only=False,
        made_at=datetime(2026, 3, 15, tzinfo=UTC),
    )


def section(*, rows: int = 3, chart: Dots | None = None) -> Analysis:
    return Analysis(
        title=_EVIL,
        group=Group.TRENDS,
        findings=(_EVIL,),
        method=_EVIL,
        table=pa.table({"name": [_EVIL] * rows, "share": [0.5, None, float("nan")] * (rows // 3)}),
        columns=(Column("name", _EVIL, Kind.TEXT), Column("share", "Share", Kind.SHARE)),
        charts=() if chart is None else (chart,),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    with scope_of(tmp_path_factory.mktemp("lake"), FULL, catalogue=ITEMS, people=SEGMENTS) as scope:
        path = write_report(
            analyse_all(scope), tmp_path_factory.mktemp("report") / "deep" / "report.html", facts=facts()
        )
    return path.read_text(encoding="utf-8")


def test_it_fetches_nothing_and_runs_nothing(whole: str) -> None:
    page = Page(whole)
    assert not {"script", "iframe", "img", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"]
    links = [attributes["href"] or "" for tag in ("a", "link") for attributes in page.all(tag)]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert "http:" not in whole
    assert "https:" not in whole
    assert "url(" not in whole
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_it_is_small_and_names_no_user(whole: str) -> None:
    assert len(whole.encode()) < 500_000
    assert not [name for name in USERS if name in whole]


def test_it_can_be_read_without_seeing_it(whole: str) -> None:
    page = Page(whole)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("table")) == len(page.all("caption")) > 5
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    named = [attributes["aria-labelledby"] for attributes in page.all("svg")]
    assert len(named) > 5
    assert {name for names in named for name in str(names).split()} <= set(identities)
    assert {str(a["href"])[1:] for a in page.all("a")} <= set(identities)
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))


def test_everything_is_escaped() -> None:
    chart = Dots(_EVIL, (Dot(_EVIL, 0.5, 0.4, 0.6),), Kind.SHARE)
    html = render(
        {"evil": section(chart=chart), "quiet": silent(_EVIL, Group.BEHAVIOUR, because=_EVIL, method=_EVIL)},
        facts=facts(_EVIL),
    )
    page = Page(html)
    assert not page.all("script")
    assert "&lt;script src=//evil.example" in html
    assert len(page.all("td")) == 3


def test_a_long_table_is_cut_and_says_so() -> None:
    html = render({"long": section(rows=3 * ROWS)}, facts=facts())
    assert len(Page(html).all("td")) == ROWS
    assert f"the first {ROWS} of" in " ".join(html.split())


def test_a_picture_places_values_between_its_ends() -> None:
    dots = (Dot("a", 1.0, 0.5, 2.0), Dot("b", 4.0, 2.0, float("inf")))
    drawn = draw(Dots("ratios", dots, Kind.RATIO, reference=1.0, is_log=True))
    a, b = drawn.marks
    assert a.from_x == drawn.left
    assert b.to_x == drawn.right
    assert drawn.reference_x == a.x == pytest.approx(8 + 344 / 3, abs=0.1)  # 0.5, 1, 2, 4: thirds of the axis
    assert b.x == drawn.right
    assert [tick.label for tick in drawn.ticks] == ["0.50×", "1.41×", "4.00×"]
    assert "a 1.00× (0.50× to 2.00×)" in drawn.words


def test_a_span_without_length_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Its end must be later"), opened({}, start=at(days=1), end=at()):
        pass
    with (
        pytest.raises(DataError, match=r"the data starts 2026-03-0.*Choose a later --to"),
        scope_of(tmp_path, FULL, end=at(days=-1)),
    ):
        pass
    with (
        pytest.raises(DataError, match="cannot be analysed"),
        opened({"interactions": [str(tmp_path / "gone.parquet")]}),
    ):
        pass


def test_replayed_rows_are_no_events(tmp_path: Path) -> None:
    place = FULL.column_names.index(schema.ORIGIN)
    replayed = FULL.set_column(place, FULL.schema.field(place), pa.array([schema.ORIGIN_REPLAY] * FULL.num_rows))
    with scope_of(tmp_path, pa.concat_tables([FULL, replayed])) as scope:
        assert scope.num_events == FULL.num_rows

from datetime import UTC, date, datetime, timedelta

import httpx

from infra.console.drift import HEIGHT, WIDTH, draw, ordered
from infra.figures import FigureRecord, FigureStore
from infra.settings import Settings
from tests.infra.console.reading import HOSTILE, Page, load

START = date(2026, 10, 1)


def record(
    values: list[float | None],
    *,
    status: str = "ok",
    size: float | None = 1.0,
    name: str = "rating_mean",
    width: float | None = 1.0,
    family: str = "data",
) -> FigureRecord:
    """A figure around 10 with a band of `width` to both sides; None for no band."""
    count = len(values)
    days = tuple(START + timedelta(days=n) for n in range(count))
    ends = [(None if width is None else 10 - width), (None if width is None else 10 + width)]
    return FigureRecord(
        name,
        family,
        "surface=live",
        status,
        values[-1] if values else None,
        10.0,
        size,
        None,
        "",
        days,
        tuple(values),
        (10.0,) * count,
        (ends[0],) * count,
        (ends[1],) * count,
    )


def points(text: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in (point.split(",") for point in text.split())]


def test_draws_a_value_where_it_lies_in_its_band() -> None:
    picture = draw(record([9.0, 10.0, 11.0]))

    assert picture is not None
    assert points(picture.lines[0]) == [(3, 69), (120, 36), (237, 3)]  # from the band's lower end to its upper
    assert points(picture.bands[0]) == [(3, 3), (120, 3), (237, 3), (237, 69), (120, 69), (3, 69)]
    assert picture.dot == (237, 3)


def test_leaves_gaps_where_days_are_missing() -> None:
    picture = draw(record([9.0, 10.0, None, 11.0, None]))

    assert picture is not None
    assert [len(points(line)) for line in picture.lines] == [2, 1]
    assert picture.dot == (178, 3)  # the newest day that has a value: day 3 of 0 to 4


def test_stays_inside_when_a_value_jumps_a_thousandfold() -> None:
    picture = draw(record([10.0, 10.0, 10_000.0]))

    assert picture is not None
    assert picture.high == "15"  # the band's end and twice its span
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(" ".join((*picture.lines, *picture.bands))))


def test_has_no_picture_of_a_single_day_and_one_of_a_flat_line() -> None:
    assert draw(record([1.0])) is None
    assert draw(record([None, 1.0, None])) is None
    assert draw(record([0.0, 0.0], width=None)) is not None


def test_puts_what_moved_first_and_the_furthest_out_before_others() -> None:
    figures = [
        record([1.0], size=0.5, name="a"),
        record([1.0], status="learning", size=None, name="b"),
        record([1.0], status="drift", size=-4.0, name="c"),
        record([1.0], status="drift", size=9.0, name="d"),
    ]
    assert [one.name for one in ordered(figures)] == ["d", "c", "a", "b"]


def test_shows_figures_with_their_bands_and_what_the_policy_said(settings: Settings, client: httpx.Client) -> None:
    now = datetime.now(UTC)
    figures = [
        record([9.0, 10.0, 17.0], status="drift", size=7.0),
        record([1.0, 1.0], name=HOSTILE, family="catalogue"),
    ]
    FigureStore(settings.figures).write(figures, as_of=now, action="retrain", reasons=["it moved"], now=now)

    for path in ("/", "/drift"):
        html = client.get(path).text
        text = Page(html).text
        assert "rating mean" in text
        assert "17, expected 10 (+7.0 spreads)" in text
        assert "retrain" in text
        assert "it moved" in text
        assert HOSTILE not in html
    family = load(client, "/drift", family="catalogue").text
    assert "rating mean" not in family
    assert Page(client.get("/drift").text).attributes("svg", "role") == ["img", "img"]


def test_says_so_when_the_figures_cannot_be_read(settings: Settings, client: httpx.Client) -> None:
    settings.figures.write_text("{}")
    assert "cannot be read" in load(client, "/drift").text
    assert "The next run of the monitor writes them anew" in load(client).text

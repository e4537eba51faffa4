from datetime import timedelta

from infra.console.chart import HEIGHT, WIDTH, draw
from infra.rollouts import RecordedVerdict
from tests.infra.gateway_home import NOW


def look(users: int, estimate: float | None, half_width: float | None) -> RecordedVerdict:
    has_bounds = estimate is not None and half_width is not None
    return RecordedVerdict(
        NOW + timedelta(minutes=users),
        0,
        "continue",
        "none",
        "",
        users // 2,
        users // 2,
        estimate,
        estimate - half_width if has_bounds else None,  # type: ignore[operator]
        estimate + half_width if has_bounds else None,  # type: ignore[operator]
    )


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in text.split())]


def test_there_is_no_picture_before_two_looks_with_bounds() -> None:
    assert draw([]) is None
    assert draw([look(100, None, None), look(200, 0.1, 0.1)]) is None


def test_places_looks_by_users_and_values_upside_down() -> None:
    chart = draw([look(0, 0.0, 1.0), look(50, 0.5, 1.0), look(100, 1.0, 1.0)])

    assert chart is not None
    line = points(chart.line)
    assert [x for x, _ in line] == [76.0, 390.0, 704.0]  # left margin, middle, right margin of 720
    assert line[0][1] > line[1][1] > line[2][1]
    assert line[0][1] == chart.zero_y
    band = points(chart.band)
    assert len(band) == 6
    assert band[0][0] == band[-1][0] == 76.0
    # half the scale is (2 + 0.5) / 2 wide with margins of 5 %: zero lies (2 + 0.125) / 2.75 from the top
    assert chart.zero_y == round(22 + (2 + 0.125) / 2.75 * (HEIGHT - 66), 1)


def test_stays_inside_when_early_bounds_are_far_off() -> None:
    chart = draw([look(10, 50.0, 1e9), look(20, 0.0, 0.1), look(30, 0.0, 0.1), look(40, 0.0, 0.1)])

    assert chart is not None
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(chart.band) + points(chart.line))


def test_has_a_height_when_every_look_is_the_same_zero() -> None:
    chart = draw([look(10, 0.0, 0.0), look(20, 0.0, 0.0)])

    assert chart is not None
    assert chart.words.startswith("After 20 users")


def test_draws_at_most_some_hundred_looks_and_always_the_last() -> None:
    chart = draw([look(10 * number, 0.0, 0.1) for number in range(1, 2001)])

    assert chart is not None
    assert len(points(chart.line)) <= 301
    assert points(chart.line)[-1][0] == WIDTH - 16

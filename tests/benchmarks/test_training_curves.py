"""What is read off a training's curve: its best, what it cost, and the share of that which ours took."""

import pytest

from benchmarks.curves import Curve, Point, best, is_over, keep, load, seconds_to
from benchmarks.training_comparisons import figures


def points(*values, seconds=10.0):
    return tuple(Point(number, number * seconds, value, 1.0) for number, value in enumerate(values, start=1))


def curve(library, *values, seconds, is_finished=True):
    return Curve(
        data="ml_1m",
        library=library,
        against="rectools",
        is_finished=is_finished,
        points=points(*values, seconds=seconds),
        queries=4000,
        items=3416,
        settings={},
        versions={library: "0.19.0"},
        processor="",
        command="",
        commit="",
        date="",
    )


def test_the_best_point_is_the_first_of_the_highest():
    assert best(points(0.1, 0.3, 0.2, 0.3)).epoch == 2


@pytest.mark.parametrize(("value", "seconds"), [(0.05, 10.0), (0.2, 20.0), (0.21, 30.0), (0.31, None)])
def test_a_value_costs_what_the_first_epoch_that_reaches_it_cost(value, seconds):
    assert seconds_to(points(0.1, 0.2, 0.3, 0.25), value) == seconds


@pytest.mark.parametrize(
    ("values", "is_over_now"),
    [((), False), ((0.1, 0.2), False), ((0.2, 0.1), False), ((0.2, 0.1, 0.2), True), ((0.1, 0.3, 0.2, 0.25), True)],
)
def test_training_is_over_when_two_epochs_brought_nothing_better(values, is_over_now):
    assert is_over(points(*values), patience=2) == is_over_now


@pytest.mark.parametrize(("seconds", "holds", "words"), [(25.0, True, "1/4.0"), (60.0, False, "1/1.7")])
def test_the_target_holds_when_ours_took_at_most_half(seconds, holds, words):
    peer = curve("rectools", 0.1, 0.2, 0.15, seconds=100.0)
    (figure,) = figures([peer, curve("everfeed", 0.05, 0.2, seconds=seconds)])
    assert figure.holds is holds
    assert words in figure.measured


def test_a_best_that_ours_never_reached_is_a_failure():
    peer = curve("rectools", 0.2, seconds=100.0, is_finished=False)
    (figure,) = figures([peer, curve("everfeed", 0.05, 0.19, seconds=1.0)])
    assert (figure.measured, figure.holds) == ("not reached", False)
    assert "still improving" in figure.note


def test_a_peer_without_ours_has_no_line():
    assert figures([curve("rectools", 0.2, seconds=100.0)]) == []


def test_a_curve_takes_the_place_of_its_own_older_one_only(tmp_path):
    file = tmp_path / "results" / "curves.json"
    keep(curve("everfeed", 0.1, seconds=5.0), file=file)
    keep(curve("rectools", 0.2, seconds=100.0), file=file)
    keep(curve("rectools", 0.2, 0.3, seconds=90.0), file=file)
    peer, ours = load(file)
    assert (peer.library, peer.points) == ("rectools", points(0.2, 0.3, seconds=90.0))
    assert ours.library == "everfeed"

"""A small part of benchmarks/alerts.py, so that its targets are watched by the suite."""

from datetime import timedelta

from benchmarks.alert_sinks import Sink
from benchmarks.alerts import Figure, compare, killed, long_outage, misbehaving, storms


def broken(figures: list[Figure]) -> list[tuple[str, str]]:
    return [(figure.figure, figure.measured) for figure in figures if figure.holds is False]


def test_nothing_is_missed_or_told_twice_without_reason_when_sinks_misbehave():
    figures = list(misbehaving(200))
    assert len(figures) == 8
    assert not broken(figures)


def test_nothing_is_missed_when_the_sender_is_killed_again_and_again():
    figures = {figure.figure: figure for figure in killed(100, 2, seconds=5)}
    assert figures["SIGKILL at random moments: kills"].measured == "2"
    assert figures["SIGKILL: missed"].holds
    assert figures["SIGKILL: out of order"].holds
    assert int(figures["SIGKILL: second copies, all with their key"].measured) <= 10  # the rate is the benchmark's


def test_sink_that_was_down_is_caught_up_within_a_minute():
    assert not broken(list(long_outage(60, down=timedelta(minutes=5))))


def test_storms_stay_quiet_and_end_with_a_resolution():
    assert not broken(list(storms()))


def test_comparison_sees_what_is_wrong():
    sink = Sink(
        taken=["a-2-updated", "a-1-opened", "b-1-opened", "b-1-opened", "c-1-opened", "c-1-opened", "x-1-opened"]
    )
    sink.ambiguous["b-1-opened"] += 1
    told = compare(["a-1-opened", "a-2-updated", "b-1-opened", "c-1-opened", "d-1-opened"], sink)
    assert (told.announced, told.missed, told.foreign, told.disordered) == (5, 1, 1, 1)
    assert (told.copies, told.unexplained) == (2, 1)

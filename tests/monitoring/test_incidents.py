from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.incidents import (
    Incident,
    IncidentConfig,
    IncidentError,
    IncidentState,
    Silence,
    Transition,
    acknowledge,
    advance,
    incident_document,
    incident_from,
)
from monitoring.result import OUTLIVES_MODEL, CheckResult, Status

T0 = datetime(2026, 11, 21, tzinfo=UTC)
CONFIG = IncidentConfig(resolve_seconds=0, notice_seconds=300, reopen_seconds=300)


def drift(figure="rating_mean", size=5.0, family="data"):
    return CheckResult(figure, family, Status.DRIFT, size=size, since=T0, message=f"{figure} moved.")


def calm(figure="rating_mean", family="data", status=Status.OK):
    return CheckResult(figure, family, status)


def play(*runs, config=CONFIG, silences=(), model=""):
    """Advance through runs of (seconds, results) and return the incidents and what was announced."""
    incidents: tuple[Incident, ...] = ()
    told: list[Transition] = []
    for seconds, results in runs:
        now = T0 + timedelta(seconds=seconds)
        after = advance(incidents, results, model=model, now=now, config=config, silences=silences)
        incidents = after.incidents
        told += after.transitions
    return incidents, told


def words(told):
    return [f"{one.kind.value}@{(one.at - T0).total_seconds():.0f}" for one in told]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([(0, [calm()])], [], id="nothing"),
        pytest.param([(0, [drift()]), (400, [calm()])], ["opened@0", "resolved@400"], id="open and resolve"),
        pytest.param([(0, [drift()]), (400, [drift()])], ["opened@0"], id="unchanged is not told again"),
        pytest.param([(0, [drift()]), (400, [drift(), drift("x")])], ["opened@0", "updated@400"], id="a figure joins"),
        pytest.param([(0, [drift(size=5)]), (400, [drift(size=7.5)])], ["opened@0"], id="grown by the factor only"),
        pytest.param([(0, [drift(size=5)]), (400, [drift(size=-7.6)])], ["opened@0", "updated@400"], id="grown"),
        pytest.param(
            [(0, [drift()]), (100, [drift(), drift("x")]), (301, [drift(), drift("x")])],
            ["opened@0", "updated@301"],
            id="an update waits for its notice time",
        ),
        pytest.param([(0, [drift()]), (10, [calm()])], ["opened@0", "resolved@10"], id="resolve is always sent"),
        pytest.param([(0, [drift()]), (400, [])], ["opened@0"], id="a missing result resolves nothing"),
        pytest.param(
            [(0, [drift()]), (400, [calm(status=Status.INSUFFICIENT)])],
            ["opened@0"],
            id="insufficient resolves nothing",
        ),
        pytest.param(
            [(0, [drift()]), (400, [calm(status=Status.LEARNING)])],
            ["opened@0", "resolved@400"],
            id="an accepted level resolves",
        ),
        pytest.param(
            [(0, [drift(), drift("x")]), (400, [calm(), drift("x")]), (800, [calm(), calm("x")])],
            ["opened@0", "resolved@800"],
            id="resolves with its last figure",
        ),
        pytest.param(
            [(0, [drift()]), (400, [calm()]), (800, [drift()])],
            ["opened@0", "resolved@400", "opened@800"],
            id="a new incident later",
        ),
        pytest.param(
            [(0, [drift()]), (400, [calm()]), (500, [drift()])],
            ["opened@0", "resolved@400", "updated@500"],
            id="the same incident soon after",
        ),
        pytest.param(
            [(0, [drift()]), (10, [calm()]), (20, [drift()]), (30, [calm()]), (40, [calm()])],
            ["opened@0", "resolved@10"],
            id="what was not told again is not resolved again",
        ),
    ],
)
def test_transitions_are_the_tabled_ones(runs, expected):
    assert words(play(*runs)[1]) == expected


def test_resolution_waits_when_there_is_a_hold_down():
    config = replace_config(resolve_seconds=100)
    runs = [(0, [drift()]), (400, [calm()]), (499, [calm()]), (500, [calm()])]
    assert words(play(*runs, config=config)[1]) == ["opened@0", "resolved@500"]
    flapping = [(0, [drift()]), (400, [calm()]), (450, [drift()]), (500, [calm()]), (599, [calm()])]
    assert words(play(*flapping, config=config)[1]) == ["opened@0"]


def replace_config(**changes) -> IncidentConfig:
    return CONFIG.model_copy(update=changes)


def test_figures_of_a_family_are_one_incident_when_a_thousand_drift():
    results = [drift(f"figure_{n}", size=float(n)) for n in range(1000)]
    incidents, told = play(*[(second, results[: 10 * (second + 1)]) for second in range(100)])
    assert words(told) == ["opened@0"]
    assert len(incidents) == 1
    assert len(incidents[0].results) == 1000
    assert incidents[0].results[0].figure == "figure_999"


@pytest.mark.parametrize("resolve_seconds", [0, 60])
def test_flapping_figure_is_told_at_most_twice_in_five_minutes(resolve_seconds):
    runs = [(10 * n, [drift() if n % 2 == 0 else calm()]) for n in range(90)]
    told = play(*runs, config=replace_config(resolve_seconds=resolve_seconds))[1]
    for start in range(0, 900, 10):
        inside = [one for one in told if start <= (one.at - T0).total_seconds() < start + 300]
        assert len(inside) <= 2, words(inside)
    assert told


def test_families_and_models_are_separate_incidents():
    incidents, told = play((0, [drift(), drift("volume", family="population")]), model="sasrec")
    assert [one.group for one in incidents] == [("sasrec", "data"), ("sasrec", "population")]
    assert len({one.key for one in told}) == 2
    other = advance(incidents, [calm()], model="ease", now=T0, config=CONFIG)
    assert {one.state for one in other.incidents} == {IncidentState.OPEN}
    assert not other.transitions


def test_keys_are_the_same_when_the_same_run_is_repeated():
    runs = [(0, [drift()]), (400, [drift(), drift("x")]), (800, [calm(), calm("x")])]
    first, second = (play(*runs)[1] for _ in range(2))
    assert [one.key for one in first] == [one.key for one in second]
    assert len({one.key for one in first}) == 3
    assert [one.incident.sequence for one in first] == [1, 2, 3]


def test_silence_is_kept_until_it_ends():
    silence = Silence("", "data", T0 + timedelta(seconds=600), reason="migration")
    runs = [(0, [drift()]), (599, [drift()]), (600, [drift()]), (1000, [calm()])]
    assert words(play(*runs, silences=[silence])[1]) == ["opened@600", "resolved@1000"]
    assert words(play((0, [drift()]), (400, [calm()]), silences=[silence])[1]) == []
    everything = replace(silence, family="")
    assert words(play((0, [drift("volume", family="population")]), silences=[everything])[1]) == []
    assert words(play((0, [drift("volume", family="population")]), silences=[silence])[1]) == ["opened@0"]


def test_updates_are_kept_back_when_someone_takes_care():
    incidents, _ = play((0, [drift()]))
    taken = acknowledge(incidents[0], by=" ada ", note="on it", now=T0 + timedelta(seconds=60))
    assert words(taken.transitions) == ["acknowledged@60"]
    assert taken.incidents[0].acknowledged_note == "on it"
    grown = advance(taken.incidents, [drift(size=10)], model="", now=T0 + timedelta(hours=1), config=CONFIG)
    assert not grown.transitions
    assert grown.incidents[0].acknowledged_by == "ada"
    done = advance(grown.incidents, [calm()], model="", now=T0 + timedelta(hours=2), config=CONFIG)
    assert words(done.transitions) == ["resolved@7200"]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param([drift(size=10.0)], [], id="twice the size"),
        pytest.param([drift(size=10.1)], ["updated@3600"], id="more than twice the size"),
        pytest.param([drift(), drift("x"), drift("y")], [], id="three figures instead of two"),
        pytest.param([drift(), drift("x"), drift("y"), drift("z")], ["updated@3600"], id="twice the figures"),
    ],
)
def test_acknowledged_incident_is_told_again_when_it_doubles(results, expected):
    incidents, _ = play((0, [drift(size=5.0), drift("x")]))
    taken = acknowledge(incidents[0], by="ada", now=T0)
    after = advance(taken.incidents, results, model="", now=T0 + timedelta(hours=1), config=CONFIG)
    assert words(after.transitions) == expected
    again = advance(after.incidents, results, model="", now=T0 + timedelta(hours=2), config=CONFIG)
    assert not again.transitions


def test_acknowledged_incident_of_size_zero_is_not_told_at_every_run():
    incidents, _ = play((0, [drift(size=0.0)]))
    taken = acknowledge(incidents[0], by="ada", now=T0)
    assert not advance(
        taken.incidents, [drift(size=0.0)], model="", now=T0 + timedelta(hours=1), config=CONFIG
    ).transitions


def test_nobody_is_told_of_an_acknowledgement_when_nobody_knows_of_the_incident():
    silence = Silence("*", "", T0 + timedelta(days=1))
    incidents, told = play((0, [drift()]), silences=[silence])
    assert not told
    assert not acknowledge(incidents[0], by="ada", now=T0).transitions


def test_acknowledgement_is_refused_when_the_incident_is_over_or_nobody_is_named():
    incidents, _ = play((0, [drift()]), (400, [calm()]))
    with pytest.raises(IncidentError, match=r"resolved at 2026-11-21 00:06 UTC; only an open"):
        acknowledge(incidents[0], by="ada", now=T0)
    with pytest.raises(IncidentError, match="nobody is named"):
        acknowledge(play((0, [drift()]))[0][0], by="  ", now=T0)


def test_silence_covers_every_model_when_it_names_none():
    silence = Silence("*", "data", T0 + timedelta(seconds=60))
    assert words(play((0, [drift()]), silences=[silence], model="sasrec")[1]) == []
    assert words(play((60, [drift()]), silences=[silence], model="sasrec")[1]) == ["opened@60"]
    assert words(play((0, [drift("v", family="population")]), silences=[silence])[1]) == ["opened@0"]


def test_schema_stands_first_when_it_has_no_size():
    incidents, _ = play((0, [drift(size=900), drift("schema", size=None)]))
    assert incidents[0].results[0].figure == "schema"
    assert incidents[0].size == 1e6


def test_incident_is_the_same_when_it_was_stored():
    incidents, _ = play((0, [drift(), drift("schema", size=None)]), (400, [calm()]))
    for incident in incidents:
        assert incident_from(incident_document(incident)) == incident


def rate(status, value, expected=None, *, outlives=True):
    details = {OUTLIVES_MODEL: 1.0} if outlives else {}
    size = -9.0 if status is Status.DRIFT else None
    return CheckResult("clicked_rate", "model", status, value, expected, size, T0, details=details)


@pytest.mark.parametrize(
    ("value", "is_resolved"),
    [
        pytest.param(0.24, False, id="not half of the way back"),
        pytest.param(0.25, True, id="half of the way"),
        pytest.param(0.30, True, id="all of it"),
        pytest.param(0.40, True, id="better than before"),
        pytest.param(0.10, False, id="worse than the fall"),
        pytest.param(None, False, id="unknown"),
    ],
)
def test_fallen_rate_must_come_back_before_a_new_model_ends_its_incident(value, is_resolved):
    runs = [(0, [rate(Status.DRIFT, 0.20, 0.30)]), (400, [rate(Status.LEARNING, value)])]
    (incident,), _ = play(*runs)
    assert (incident.state is IncidentState.RESOLVED) is is_resolved
    if not is_resolved:
        assert incident.results[0].value == 0.20


def test_figure_of_a_model_leaves_its_incident_when_a_new_model_learns_it():
    runs = [(0, [rate(Status.DRIFT, 0.20, 0.30)]), (400, [rate(Status.LEARNING, 0.01, outlives=False)])]
    (incident,), _ = play(*runs)
    assert incident.state is IncidentState.RESOLVED


def test_fallen_rate_leaves_when_its_new_level_is_judged_in_order():
    runs = [(0, [rate(Status.DRIFT, 0.20, 0.30)]), (400, [rate(Status.OK, 0.20, 0.20)])]
    (incident,), _ = play(*runs)
    assert incident.state is IncidentState.RESOLVED

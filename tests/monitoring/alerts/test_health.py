from datetime import UTC, datetime, timedelta

import pytest

from monitoring.alerts import alert_of
from monitoring.alerts.health import DELIVERY_MODEL, ChannelHealth, HealthConfig, channel_results
from monitoring.incidents import IncidentConfig, advance
from monitoring.result import Status

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CONFIG = HealthConfig(dead_after_seconds=900, refused_seconds=3600)
WELL = ChannelHealth("slack")
DEAD = ChannelHealth("slack", NOW, "hooks:443 answered 401")


def drifted(*channels: ChannelHealth, seconds: float, incidents=()) -> list[str]:
    results = channel_results(channels, incidents, now=NOW + timedelta(seconds=seconds), config=CONFIG)
    return [result.figure for result in results if result.status is Status.DRIFT]


@pytest.mark.parametrize(("seconds", "found"), [(899, []), (900, ["channel slack is dead"])])
def test_channel_is_dead_when_it_failed_for_long(seconds, found):
    assert drifted(WELL, seconds=seconds) == []
    assert drifted(DEAD, seconds=seconds) == found


@pytest.mark.parametrize(("seconds", "found"), [(3599, ["channel slack refused an alert"]), (3600, [])])
def test_refusal_is_spoken_of_for_a_time(seconds, found):
    refused = ChannelHealth("slack", refused_at=NOW, refusal="answered 400")
    assert drifted(refused, seconds=seconds) == found


def play(*runs: tuple[float, list[ChannelHealth]]):
    incidents, told = (), []
    for seconds, channels in runs:
        now = NOW + timedelta(seconds=seconds)
        results = channel_results(channels, incidents, now=now, config=CONFIG)
        change = advance(incidents, results, model=DELIVERY_MODEL, now=now, config=IncidentConfig())
        incidents = change.incidents
        told += change.transitions
    return incidents, told


def test_dead_channel_is_told_once_an_outage_and_that_it_works_again():
    _, told = play((900, [DEAD]), (1800, [DEAD]), (3600, [WELL]))
    opened, resolved = (alert_of(one) for one in told)
    assert (opened.transition, resolved.transition) == ("opened", "resolved")
    assert opened.title == "Opened: alert delivery: channel slack is dead"
    assert opened.severity == "critical"
    assert "answered 401" in opened.text
    assert "`everfeed alerts test`" in opened.action
    assert opened.since == NOW


def test_channels_that_die_together_are_one_incident():
    both = [DEAD, ChannelHealth("mail", NOW, "refused")]
    incidents, told = play((900, both), (1000, both))
    assert len(told) == len(incidents) == 1
    assert "channel mail is dead" in {one.figure for one in incidents[0].results}


def test_incident_resolves_when_the_dead_channel_is_no_longer_configured():
    _, told = play((900, [DEAD]), (1000, []))
    assert [one.kind.value for one in told] == ["opened", "resolved"]

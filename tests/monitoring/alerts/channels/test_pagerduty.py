import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, open_channel
from monitoring.alerts.channels.pagerduty import event_of
from tests.monitoring.alerts.sink import listening

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ALERT = Alert(
    "i1-1-opened", "i1", "opened", "Opened: data drift", "x moved", "critical", "x", 8.0, NOW, NOW,
    model="sasrec", link="http://console/report", subject="data drift of sasrec", action="Look",
)  # fmt: skip


def test_event_opens_one_alert_an_incident():
    with listening(202) as sink:
        open_channel("pagerduty", {"routing_key": "R" * 32, "url": sink.url}).send(ALERT)
    event = json.loads(sink.requests[0][1])
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == ("R" * 32, "trigger", "i1")
    payload = event["payload"]
    assert payload["summary"] == "Opened: data drift"
    assert (payload["severity"], payload["source"], payload["component"]) == ("critical", "everfeed", "sasrec")
    assert payload["timestamp"] == "2026-11-21T08:30:00+00:00"
    assert payload["custom_details"]["Proposed action"] == "Look"
    assert payload["custom_details"]["key"] == "i1-1-opened"
    assert event["links"] == [{"href": "http://console/report", "text": "Report"}]


@pytest.mark.parametrize(
    ("transition", "action"),
    [("opened", "trigger"), ("updated", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve")],
)
def test_every_transition_is_an_event_of_the_same_incident(transition, action):
    event = event_of(replace(ALERT, transition=transition), routing_key="k", source="s")
    assert (event["event_action"], event["dedup_key"]) == (action, "i1")
    assert ("payload" in event) == (action == "trigger")


def test_event_keeps_pagerdutys_limit_and_has_no_empty_link():
    event = event_of(replace(ALERT, title="t" * 5000, link=""), routing_key="k", source="s")
    assert len(event["payload"]["summary"]) == 1024
    assert "links" not in event
    assert "client_url" not in event


def test_key_is_not_shown_when_the_channel_is():
    assert "s3cret" not in repr(open_channel("pagerduty", {"routing_key": "s3cret"}).config)

"""Apprise is an optional extra; its own plug-in for JSON endpoints stands for all of its services."""

import json
import logging
from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, ChannelError, DeliveryError, open_channel
from tests.monitoring.alerts.sink import RESET, listening

pytest.importorskip("apprise", reason="the optional extra apprise is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own import
NOW = datetime(2026, 11, 21, tzinfo=UTC)
ALERT = Alert("k", "i1", "opened", "Opened: <drift>", "a & b moved", "critical", "x", 3.0, NOW, NOW, action="Look")


def url_of(sink, *, token: str = "") -> str:
    return sink.url.replace("http://", f"json://{token}") + "?:token=s3cret"


def test_alert_arrives_as_plain_text():
    with listening(200) as sink:
        open_channel("apprise", {"url": url_of(sink)}).send(ALERT)
    received = json.loads(sink.requests[0][1])
    assert received["title"] == "Opened: <drift>"
    assert received["message"].startswith("a & b moved")
    assert "Proposed action: Look" in received["message"]
    assert received["type"] == "failure"


@pytest.mark.parametrize("answer", [500, 403, RESET])
def test_failure_is_retryable_ambiguous_and_without_secrets(answer, caplog):
    with (
        listening(answer) as sink,
        caplog.at_level(logging.DEBUG),
        pytest.raises(DeliveryError, match="Apprise did not deliver through JSON") as caught,
    ):
        open_channel("apprise", {"url": url_of(sink, token="me:s3cret@")}).send(ALERT)
    assert (caught.value.is_retryable, caught.value.is_ambiguous) == (True, True)
    assert "s3cret" not in caught.value.reason
    assert not [record for record in caplog.records if record.name.startswith("apprise")]


def test_address_is_refused_and_not_shown_when_apprise_cannot_read_it():
    with pytest.raises(ChannelError, match=r"cannot read this address \(scheme 'bogus'") as caught:
        open_channel("apprise", {"url": "bogus://s3cret/topic"})
    assert "s3cret" not in str(caught.value)

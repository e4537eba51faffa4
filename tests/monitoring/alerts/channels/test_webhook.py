import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, ChannelError, open_channel
from tests.monitoring.alerts.sink import listening

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ALERT = Alert("incident-1-opened", "incident", "opened", "Ein Titel: naïve", "text", "warning", "x", 3.5, NOW, NOW)


def test_alert_arrives_as_json_with_its_key():
    with listening() as sink:
        open_channel("webhook", {"url": sink.url}).send(ALERT)
    headers, body = sink.requests[0]
    assert headers["Idempotency-Key"] == "incident-1-opened"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert "X-Everfeed-Signature" not in headers
    assert json.loads(body) == ALERT.document()


def test_sender_is_proven_when_a_token_and_a_key_are_given():
    with listening() as sink:
        open_channel("webhook", {"url": sink.url, "token": "s3cret", "signing_key": "k"}).send(ALERT)
    headers, body = sink.requests[0]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Everfeed-Signature"] == "sha256=" + hmac.new(b"k", body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://host/x"}, "url.*http"),
        ({"url": "file:///etc/passwd"}, "url.*http"),
        ({"url": "nonsense"}, "url"),
        ({}, "url.*required"),
        ({"url": "http://host", "timeout_seconds": 0}, "timeout_seconds.*greater than 0"),
        ({"url": "http://host", "colour": "red"}, "colour.*Known options: url, timeout_seconds"),
    ],
)
def test_options_are_refused_when_they_are_wrong(options, words):
    with pytest.raises(ChannelError, match=words):
        open_channel("webhook", options)


def test_error_hides_the_secret_when_an_option_is_wrong():
    with pytest.raises(ChannelError) as caught:
        open_channel("webhook", {"url": "http://host", "token": ["s3cret"]})
    assert "s3cret" not in str(caught.value)

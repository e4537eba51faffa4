import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, ChannelError, DeliveryError, open_channel
from monitoring.alerts.channels.slack import message_of
from tests.monitoring.alerts.sink import listening

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ALERT = Alert(
    key="i1-1-opened",
    incident_id="i1",
    transition="opened",
    title="Opened: data drift: watch_seconds +8.1 spreads",
    text="watch_seconds: 8,100, expected 8.1",
    severity="critical",
    figure="watch_seconds[surface=live]",
    size=8.125,
    since=NOW,
    created_at=NOW,
    link="http://127.0.0.1:8701/reports/drift/report.html",
    slice="surface=live",
    cause="the data",
    action="Compare the last ingest with the one before",
)


def test_message_says_what_a_person_needs_to_act():
    with listening() as sink:
        open_channel("slack", {"url": sink.url}).send(ALERT)
    message = json.loads(sink.requests[0][1])
    kinds = [block["type"] for block in message["blocks"]]
    assert kinds == ["header", "section", "section", "section", "section", "actions", "context"]
    assert message["text"] == ALERT.title
    assert message["blocks"][0]["text"] == {"type": "plain_text", "text": f"🔴 {ALERT.title}", "emoji": False}
    assert [field["text"] for field in message["blocks"][2]["fields"]] == [
        "*Figure*\n`watch_seconds[surface=live]`",
        "*Size*\n+8.1 of its day-to-day spread",
        "*Since*\n2026-11-21 08:30 UTC",
        "*Slice*\n`surface=live`",
    ]
    assert message["blocks"][4]["text"]["text"] == f"*Proposed action*\n{ALERT.action}"
    assert message["blocks"][5]["elements"][0]["url"] == ALERT.link
    assert "everfeed alerts ack i1" in message["blocks"][6]["elements"][0]["text"]


def test_nothing_from_data_becomes_a_mention_or_a_link_when_it_looks_like_one():
    evil = "<!channel> <http://evil|click> a & b `x`"
    message = message_of(replace(ALERT, title=evil, text=evil, figure=evil, slice=evil, cause=evil, action=evil))
    marked = [
        part["text"]
        for block in message["blocks"]
        for part in (*block.get("fields", ()), block.get("text", {}))
        if part.get("type") == "mrkdwn"
    ]
    assert len(marked) == 6
    assert not any("<" in text or ">" in text for text in marked)
    assert marked[0] == "*Figure*\n`&lt;!channel&gt; &lt;http://evil|click&gt; a &amp; b 'x'`"
    assert message["text"] == "&lt;!channel&gt; &lt;http://evil|click&gt; a &amp; b `x`"


def test_message_keeps_slacks_limits_when_the_alert_is_long():
    message = message_of(replace(ALERT, title="&" * 9000, text="&" * 9000, figure="&" * 9000, action="&" * 9000))
    blocks = message["blocks"]
    assert len(blocks[0]["text"]["text"]) <= 150
    assert len(blocks[1]["text"]["text"]) <= 3000
    assert all(len(field["text"]) <= 2000 for field in blocks[2]["fields"])
    assert len(blocks[4]["text"]["text"]) <= 3000
    assert len(blocks) <= 50


def test_resolution_has_no_empty_block_when_there_is_no_figure():
    over = replace(
        ALERT, transition="resolved", figure="", size=None, slice="", cause="", action="", link="", since=None
    )
    assert [block["type"] for block in message_of(over)["blocks"]] == ["header", "section", "context"]


@pytest.mark.parametrize(
    ("answer", "body", "retryable", "words"),
    [
        (400, b"invalid_payload", False, "answered 400 (invalid_payload)"),
        (404, b"no_service", True, "answered 404 (no_service)"),
        (410, b"channel_is_archived", True, "answered 410 (channel_is_archived)"),
    ],
)
def test_alert_waits_when_a_person_must_correct_the_channel(answer, body, retryable, words):
    with listening(answer, body=body) as sink, pytest.raises(DeliveryError) as caught:
        open_channel("slack", {"url": sink.url}).send(ALERT)
    assert caught.value.reason.endswith(words)
    assert caught.value.is_retryable is retryable


@pytest.mark.parametrize("url", ["ftp://hooks/s3cret", "s3cret", "http://"])
def test_address_is_refused_and_not_shown_when_it_is_none(url):
    with pytest.raises(ChannelError, match=r"url.*no http or https address") as caught:
        open_channel("slack", {"url": url})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "s3cret" not in repr(open_channel("slack", {"url": "https://hooks/s3cret"}).config)

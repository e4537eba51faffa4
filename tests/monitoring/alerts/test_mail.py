from dataclasses import replace
from datetime import UTC, datetime

from monitoring.alerts import Alert
from monitoring.alerts.mail import html_of, message_of

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ALERT = Alert(
    "i1-1-opened", "i1-and-more", "opened", "Opened: data drift: x", "x moved\ny", "critical", "x", -3.0, NOW, NOW,
    link="http://console/report?a=1&b=2", subject="data drift", slice="surface=live", cause="the data", action="Look",
)  # fmt: skip


def message(**changes):
    return message_of(replace(ALERT, **changes), sender="everfeed@example.org", recipients=["a@b.c"])


def test_emails_of_an_incident_stand_in_one_thread():
    opened, resolved = message(), message(key="i1-2-resolved", transition="resolved", title="Resolved: data drift")
    assert opened["References"] == resolved["References"] == opened["In-Reply-To"]
    assert opened["Subject"] == resolved["Subject"] == "[Everfeed] data drift (i1-and-m)"
    assert opened["Message-ID"] != resolved["Message-ID"]
    other = message(incident_id="i2")
    assert other["References"] != opened["References"]


def test_second_copy_has_the_same_message_id():
    assert message()["Message-ID"] == message()["Message-ID"]
    assert message()["Message-ID"].endswith("@example.org>")


def test_text_says_what_a_person_needs_to_act():
    text = message().get_body(("plain",)).get_content()
    for line in (
        "Opened: data drift: x",
        "Figure: x",
        "Size: -3.0 of its day-to-day spread",
        "Since: 2026-11-21 08:30 UTC",
        "Slice: surface=live",
        "Likely cause: the data",
        "Proposed action: Look",
        "Report: http://console/report?a=1&b=2",
    ):
        assert line in text.splitlines()
    assert "everfeed alerts ack i1-and-more" in text


def test_html_shows_what_looks_like_markup_as_text():
    evil = "<script>alert(1)</script>\" & '"
    page = html_of(replace(ALERT, title=evil, text=evil, figure=evil, slice=evil, action=evil, link=f"http://x/{evil}"))
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 6
    assert 'href="http://x/&lt;script&gt;alert(1)&lt;/script&gt;&quot; &amp; &#x27;"' in page


def test_no_header_can_be_added_when_a_title_has_line_breaks():
    made = message(subject="x\r\nBcc: evil@example.org", key="k\nX-Evil: 1")
    assert made["Bcc"] is None
    assert made["X-Evil"] is None
    assert made["Subject"] == "[Everfeed] x Bcc: evil@example.org (i1-and-m)"

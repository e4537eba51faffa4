from datetime import UTC, datetime

import pytest

from monitoring.alerts import Alert, ChannelError, DeliveryError, open_channel
from monitoring.alerts.posting import MISCONFIGURED_SECONDS
from tests.monitoring.alerts.mailbox import CUT, HANG, Mailbox, receiving
from tests.monitoring.alerts.sink import free_url

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def alert(transition: str = "opened", number: int = 1) -> Alert:
    return Alert(
        f"i1-{number}-{transition}", "i1", transition, "Opened: drift", "moved", "critical", "x", 3.0, NOW, NOW
    )


def options(mailbox: Mailbox, **changes: object) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": mailbox.port,
        "security": "none",
        "sender": "everfeed@example.org",
        "recipients": ["ops@example.org", "ada@example.org"],
        "timeout_seconds": 0.3,
        **changes,
    }


def test_email_goes_to_every_recipient():
    with receiving() as mailbox:
        open_channel("email", options(mailbox)).send(alert())
    (message,) = mailbox.messages
    assert message["To"] == "ops@example.org, ada@example.org"
    assert message["X-Everfeed-Key"] == "i1-1-opened"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


@pytest.mark.parametrize(
    ("answer", "retryable", "ambiguous", "words"),
    [
        ("451 4.3.0 try later", True, False, "refused the message (451)"),
        ("554 5.6.0 not this one", False, False, "refused the message (554)"),
        (CUT, True, True, "did not answer"),
        (HANG, True, True, "did not answer: "),
    ],
)
def test_failure_says_whether_to_retry(answer, retryable, ambiguous, words):
    with receiving(answer) as mailbox, pytest.raises(DeliveryError) as caught:
        open_channel("email", options(mailbox)).send(alert())
    assert words in caught.value.reason
    assert (caught.value.is_retryable, caught.value.is_ambiguous) == (retryable, ambiguous)


def test_failure_is_retryable_and_plain_when_nobody_listens():
    port = int(free_url().rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(DeliveryError, match="cannot be reached: ConnectionRefusedError") as caught:
        open_channel("email", options(Mailbox(port=port))).send(alert())
    assert (caught.value.is_retryable, caught.value.is_ambiguous) == (True, False)


def test_email_is_delivered_when_one_recipient_of_two_is_refused(caplog):
    with receiving() as mailbox:
        mailbox.refused.add("ada@example.org")
        open_channel("email", options(mailbox)).send(alert())
        mailbox.refused.add("ops@example.org")
        with pytest.raises(DeliveryError, match=r"refused every recipient \(550\)") as caught:
            open_channel("email", options(mailbox)).send(alert())
    assert len(mailbox.messages) == 1
    assert caplog.messages == ["1 of 2 recipients refused (550)"]
    assert caught.value.retry_after_seconds == MISCONFIGURED_SECONDS
    assert "@" not in caught.value.reason


def test_login_is_used_and_never_shown(certificate, server_tls):
    with receiving(starttls=server_tls, password="s3cret") as mailbox:
        secure = options(mailbox, host="localhost", security="starttls", ca_file=certificate, timeout_seconds=2)
        open_channel("email", {**secure, "user": "everfeed", "password": "s3cret"}).send(alert())
        with pytest.raises(DeliveryError, match=r"refused the login \(535\)") as caught:
            open_channel("email", {**secure, "user": "everfeed", "password": "wr0ng"}).send(alert())
    assert mailbox.keys() == ["i1-1-opened"]
    assert caught.value.retry_after_seconds == MISCONFIGURED_SECONDS
    assert "wr0ng" not in str(caught.value.reason)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_connection_is_protected_when_it_is_asked_for(certificate, server_tls, security):
    inside = {"tls": server_tls} if security == "tls" else {"starttls": server_tls}
    with receiving(**inside) as mailbox:
        trusting = options(mailbox, host="localhost", security=security, ca_file=certificate, timeout_seconds=2)
        open_channel("email", trusting).send(alert())
        with pytest.raises(DeliveryError, match=f"no {security} that can be trusted: SSLCertVerificationError"):
            open_channel("email", {**trusting, "ca_file": None}).send(alert())
    assert len(mailbox.messages) == 1


def test_nothing_is_sent_in_the_clear_when_the_server_offers_no_starttls():
    with receiving() as mailbox, pytest.raises(DeliveryError, match="SMTPNotSupportedError"):
        open_channel("email", options(mailbox, security="starttls")).send(alert())
    assert not mailbox.messages


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipients": []}, "recipients"),
        ({"recipients": ["ops@example.org\nBcc: x@y"]}, "recipients.0"),
        ({"sender": "nobody"}, "sender"),
        ({"host": "mail.example.org", "user": "me", "password": "s3cret"}, "not sent in the clear"),
        ({"security": "ssl"}, "security"),
    ],
)
def test_options_are_refused_when_they_are_wrong(changes, words):
    with pytest.raises(ChannelError, match=words) as caught:
        open_channel("email", options(Mailbox(port=1), **changes))
    assert "s3cret" not in str(caught.value)

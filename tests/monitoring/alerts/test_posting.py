import base64
import ssl
import threading
import time

import pytest

from monitoring.alerts import DeliveryError
from monitoring.alerts.posting import MISCONFIGURED_SECONDS, Poster
from tests.monitoring.alerts.sink import HANG, RESET, STALL, free_url, listening

SELDOM = MISCONFIGURED_SECONDS
HEADERS = {"Idempotency-Key": "k", "Authorization": "Bearer s3cret"}


def failure(url: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        Poster(url + "?token=s3cret", timeout_seconds=0.3).post(b"{}", HEADERS)
    assert "s3cret" not in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    ("answer", "retryable", "ambiguous", "wait", "words"),
    [
        (429, True, False, None, "answered 429"),
        (408, True, True, None, "answered 408"),
        (500, True, False, None, "answered 500"),
        (502, True, True, None, "answered 502"),
        (503, True, False, None, "answered 503"),
        (504, True, True, None, "answered 504"),
        (400, False, False, None, "answered 400"),
        (422, False, False, None, "answered 422"),
        (401, True, False, SELDOM, "answered 401"),
        (404, True, False, SELDOM, "answered 404"),
        (410, True, False, SELDOM, "answered 410"),
        (302, True, False, SELDOM, "answered 302"),
        (RESET, True, True, None, "did not answer"),
        (HANG, True, True, None, "did not answer: TimeoutError"),
    ],
)
def test_failure_says_whether_and_when_to_retry(answer, retryable, ambiguous, wait, words):
    with listening(answer) as sink:
        error = failure(sink.url)
    assert words in error.reason
    assert (error.is_retryable, error.is_ambiguous) == (retryable, ambiguous)
    assert error.retry_after_seconds == wait
    assert len(sink.requests) == 1


def test_failure_is_retryable_and_plain_when_nobody_listens():
    error = failure(free_url())
    assert "cannot be reached: ConnectionRefusedError" in error.reason
    assert (error.is_retryable, error.is_ambiguous) == (True, False)


@pytest.mark.parametrize(
    ("answer", "headers", "wait"),
    [
        (429, {"Retry-After": "17"}, 17.0),
        (503, {"Retry-After": "2"}, 2.0),
        (403, {"Retry-After": "60"}, 60.0),
        (429, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": "-5"}, None),
        (429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        (429, {"Retry-After": "Fri, 31 Dec 2999 23:59:59 -0000"}, None),
    ],
)
def test_retry_after_is_read_when_the_sink_asks_for_it(answer, headers, wait):
    with listening(answer, headers=headers) as sink:
        assert failure(sink.url).retry_after_seconds == wait


def test_retry_after_counts_from_the_date_of_the_answer_when_it_is_a_date():
    moment = time.time() + 100
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(moment))
    with listening(429, headers={"Retry-After": date}) as sink:
        assert failure(sink.url).retry_after_seconds == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("body", "shown"), [(b"invalid_payload", " (invalid_payload)"), (b"Bearer s3cret", ""), (b"x" * 20_000, "")]
)
def test_answer_is_shown_when_it_is_a_code_word_alone(body, shown):
    with listening(400, body=body) as sink:
        error = failure(sink.url)
    assert error.reason.endswith("answered 400" + shown)


def test_alert_is_delivered_when_the_rest_of_a_good_answer_never_comes():
    with listening(STALL) as sink:
        Poster(sink.url, timeout_seconds=0.2).post(b"{}", HEADERS)
    assert sink.keys() == ["k"]


def test_one_connection_serves_many_posts():
    with listening() as sink:
        poster = Poster(sink.url, timeout_seconds=2)
        before = threading.active_count()
        for _ in range(5):
            poster.post(b"{}", HEADERS)
        assert threading.active_count() - before <= 1  # the server has a thread a connection
    assert len(sink.requests) == 5


def test_post_takes_a_new_connection_when_the_far_end_closed_the_old_one():
    with listening(headers={}) as sink:
        poster = Poster(sink.url, timeout_seconds=2)
        sink.closes_after = True
        for _ in range(3):
            poster.post(b"{}", HEADERS)
            time.sleep(0.05)
    assert len(sink.requests) == 3


def test_many_threads_post_at_once():
    with listening() as sink:
        poster = Poster(sink.url, timeout_seconds=5)
        threads = [threading.Thread(target=poster.post, args=(b"{}", {"Idempotency-Key": str(n)})) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(sink.keys()) == [str(n) for n in range(8)]


def test_login_in_the_address_is_sent_as_one():
    with listening() as sink:
        address = sink.url.replace("http://", "http://ada:s3%40cret@")
        Poster(address, timeout_seconds=2).post(b"{}", {"Idempotency-Key": "k"})
    assert sink.requests[0][0]["Authorization"] == "Basic " + base64.b64encode(b"ada:s3@cret").decode()


def test_alert_waits_when_the_certificate_is_not_trusted(server_tls: ssl.SSLContext):
    with listening(tls=server_tls) as sink:
        error = failure(sink.url.replace("127.0.0.1", "localhost"))
    assert "cannot be reached: SSLCertVerificationError" in error.reason
    assert (error.is_retryable, error.is_ambiguous) == (True, False)
    assert error.retry_after_seconds == SELDOM
    assert not sink.requests


def test_alert_arrives_over_tls_when_the_certificate_is_trusted(server_tls, certificate, monkeypatch):
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr("monitoring.alerts.posting._trust", lambda: trusting)
    with listening(tls=server_tls) as sink:
        Poster(sink.url.replace("127.0.0.1", "localhost"), timeout_seconds=2).post(b"{}", HEADERS)
    assert sink.keys() == ["k"]

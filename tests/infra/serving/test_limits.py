import tempfile
from collections.abc import Iterator

import pytest

from infra.serving.limits import BYTES, Limits, RateLimiter
from infra.serving.problems import RefusedError


@pytest.fixture
def table() -> Iterator[int]:
    with tempfile.TemporaryFile() as made:
        made.truncate(BYTES)
        yield made.fileno()


def limiter(table: int, per_second: float) -> RateLimiter:
    return RateLimiter(per_second, memory=table, secret=b"a secret")


def allowed(one: RateLimiter, client: str, now: float, tries: int) -> int:
    return sum(one.wait_seconds(client, now) == 0.0 for _ in range(tries))


def test_allows_a_burst_of_one_second_then_the_rate(table: int) -> None:
    one = limiter(table, 10.0)

    assert allowed(one, "10.0.0.1", 1000.0, 50) == 10
    assert allowed(one, "10.0.0.1", 1000.3, 50) == 3
    assert allowed(one, "10.0.0.1", 2000.0, 50) == 10  # silence does not add up to more than a burst


def test_allows_one_request_when_the_rate_is_below_one_a_second(table: int) -> None:
    one = limiter(table, 0.5)

    assert one.wait_seconds("10.0.0.1", 1000.0) == 0.0
    assert one.wait_seconds("10.0.0.1", 1000.5) == pytest.approx(1.5)
    assert one.wait_seconds("10.0.0.1", 1002.0) == 0.0


def test_a_client_that_is_refused_does_not_wait_longer_for_having_asked(table: int) -> None:
    one = limiter(table, 1.0)
    one.wait_seconds("10.0.0.1", 1000.0)

    waits = [one.wait_seconds("10.0.0.1", 1000.25) for _ in range(100)]

    assert waits == pytest.approx([0.75] * 100, abs=1e-5)


def test_one_client_does_not_spend_what_another_may(table: int) -> None:
    one = limiter(table, 5.0)
    allowed(one, "10.0.0.1", 1000.0, 50)

    assert allowed(one, "10.0.0.2", 1000.0, 50) == 5


def test_two_workers_count_together(table: int) -> None:
    first, second = limiter(table, 10.0), limiter(table, 10.0)

    total = sum(allowed(one, "10.0.0.1", 1000.0, 1) for _ in range(20) for one in (first, second))

    assert total == 10


def test_an_ipv6_client_is_its_network(table: int) -> None:
    one = limiter(table, 1.0)

    assert one.wait_seconds("2001:db8:1:2::1", 1000.0) == 0.0
    assert one.wait_seconds("2001:db8:1:2:ffff::9", 1000.0) > 0
    assert one.wait_seconds("2001:db8:1:3::1", 1000.0) == 0.0
    assert one.wait_seconds("fe80::1%eth0", 1000.0) == 0.0


def test_the_refusal_says_how_long_to_wait(table: int) -> None:
    one = limiter(table, 0.1)
    one.check("10.0.0.1", 1000.0)

    with pytest.raises(RefusedError) as refusal:
        one.check("10.0.0.1", 1002.5)

    assert refusal.value.status == 429
    assert refusal.value.headers["Retry-After"] == "8"  # 7.5 s, rounded up


def refused(limits: Limits, client: str, now: float) -> str:
    try:
        limits.check(client, now)
    except RefusedError as error:
        return f"{error.status} {error.problem.what}"
    return ""


def test_all_clients_together_keep_to_the_quota_and_each_to_its_own_rate(table: int) -> None:
    limits = Limits(per_client=3.0, per_tenant=5.0, memory=table, secret=b"a secret")

    first = [refused(limits, "10.0.0.1", 1000.0) for _ in range(6)]
    assert first == [""] * 3 + ["429 too many requests from this address"] * 3
    second = [refused(limits, f"10.0.1.{number}", 1000.0) for number in range(4)]
    assert second == [""] * 2 + ["429 too many requests for this tenant's quota"] * 2
    assert refused(limits, "10.0.2.1", 1000.2) == ""
    alone = Limits(per_client=0.0, per_tenant=1.0, memory=table, secret=b"another secret")
    assert [bool(refused(alone, client, 2000.0)) for client in ("::1", "2001:db8::1")] == [False, True]

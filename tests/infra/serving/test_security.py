import pytest

from infra.serving.security import allowed_hosts, is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
    ],
)
def test_tells_loopback_addresses_from_others(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_answers_loopback_names_only_when_it_listens_on_loopback() -> None:
    assert allowed_hosts("127.0.0.1") == {"localhost", "127.0.0.1", "::1"}


def test_answers_its_own_address_when_it_listens_on_one() -> None:
    assert {"10.0.0.1", "localhost"} <= allowed_hosts("10.0.0.1")

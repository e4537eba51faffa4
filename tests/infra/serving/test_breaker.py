from infra.serving.breaker import Breaker, BreakerState


def opened() -> Breaker:
    breaker = Breaker(limit=3, pause_seconds=5.0)
    for _ in range(3):
        assert breaker.allows(10.0)
        breaker.failed(10.0)
    return breaker


def test_opens_when_failures_follow_each_other() -> None:
    breaker = opened()

    assert breaker.state(10.0) is BreakerState.OPEN
    assert not breaker.allows(14.9)


def test_stays_closed_when_a_success_comes_between() -> None:
    breaker = Breaker(limit=3)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()

    assert breaker.state(0.0) is BreakerState.CLOSED


def test_lets_one_call_through_when_the_pause_is_over() -> None:
    breaker = opened()

    assert breaker.state(15.0) is BreakerState.HALF_OPEN
    assert breaker.allows(15.0)
    assert not breaker.allows(15.0)


def test_closes_when_the_trial_succeeds() -> None:
    breaker = opened()
    assert breaker.allows(15.0)
    breaker.succeeded()

    assert breaker.allows(15.0)
    assert breaker.allows(15.0)


def test_pauses_again_when_the_trial_fails() -> None:
    breaker = opened()
    assert breaker.allows(15.0)
    breaker.failed(15.0)

    assert not breaker.allows(19.9)
    assert breaker.allows(20.0)

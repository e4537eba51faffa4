"""What is due goes out: in order, as patiently as the channel needs, and never twice without a reason."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event, Lock, Thread

import pytest

from flows.sending import ChannelSender, SendConfig, senders_of
from infra.database import open_database
from infra.outbox import AlertRecord, Outbox
from monitoring.alerts.alert import Alert, DeliveryError
from monitoring.alerts.delivery import RetryConfig

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENT = SendConfig(lanes=3, batch=8, retry=RetryConfig(jitter=0))


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Wire:
    """The network at the edge of the system: it fails as it is told, and remembers what got through."""

    def __init__(self, *errors: DeliveryError | None, seconds: float = 0.0) -> None:
        self.errors = list(errors)
        self.tried: list[str] = []
        self.arrived: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = Lock()
        self._seconds = seconds

    def send(self, alert: Alert) -> None:
        with self._lock:
            self.tried.append(alert.key)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            error = self.errors.pop(0) if self.errors else None
        Event().wait(self._seconds)
        with self._lock:
            self._at_once -= 1
            if error is None:
                self.arrived.append(alert.key)
        if error is not None:
            raise error


DOWN = DeliveryError("503", is_retryable=True)


@pytest.fixture
def outbox(tmp_path) -> Iterator[Outbox]:
    database = open_database(f"sqlite:///{tmp_path / 'everfeed.db'}", is_synced=False)
    yield Outbox(database)
    database.close()


def record(outbox: Outbox, *keys: str, channels: tuple[str, ...] = ("hook",)) -> None:
    """Record alerts; what stands before the dash is the incident."""
    records = []
    for key in keys:
        incident = key.split("-")[0]
        alert = Alert(key, incident, "updated", key, "t", "info", "x", None, None, NOW)
        records.append(AlertRecord(key, incident, alert.document()))
    outbox.record([], records, channels=channels, now=NOW)


def sender_of(outbox: Outbox, wire: Wire, clock: Clock, config: SendConfig = PATIENT) -> ChannelSender:
    (sender,) = senders_of({"hook": wire}, outbox, config=config, clock=clock, rng=Random(0))
    return sender


def pending(outbox: Outbox) -> int:
    return outbox.channels()[0].pending


def test_alerts_of_an_incident_arrive_in_order_when_many_are_sent_at_once(outbox):
    keys = [f"i{n % 5}-{n // 5}" for n in range(50)]
    record(outbox, *keys)
    wire = Wire(seconds=0.004)
    assert sender_of(outbox, wire, Clock(), PATIENT.model_copy(update={"lane_seconds": 0.001})).drain() == 50
    assert sorted(wire.arrived) == sorted(keys)
    assert wire.most_at_once == 3
    for incident in range(5):
        assert [key for key in wire.arrived if key.startswith(f"i{incident}-")] == [
            f"i{incident}-{n}" for n in range(10)
        ]


def test_one_after_the_other_when_the_channel_answers_at_once(outbox):
    record(outbox, *(f"i{n}-1" for n in range(20)))
    wire = Wire()
    sender_of(outbox, wire, Clock()).drain()
    assert wire.most_at_once == 1


def test_failed_alert_is_tried_again_with_longer_and_longer_waits(outbox):
    record(outbox, "i1-1")
    wire, clock = Wire(*[DOWN] * 4), Clock()
    sender = sender_of(outbox, wire, clock)
    tries = []
    for second in range(60):
        before = len(wire.tried)
        sender.drain()
        tries += [second] * (len(wire.tried) - before)
        clock.pass_seconds(1)
    assert tries == [0, 1, 3, 7, 15]
    assert wire.arrived == ["i1-1"]


def test_channel_rests_and_is_probed_by_one_alert_when_it_is_down(outbox):
    record(outbox, *(f"i{n}-1" for n in range(100)))
    wire, clock = Wire(*[DOWN] * 5), Clock()
    sender = sender_of(outbox, wire, clock)
    counts = []
    for _ in range(8):
        sender.drain()
        counts.append(len(wire.tried))
        clock.pass_seconds(1)
    assert counts[:7] == [3, 4, 4, 5, 5, 5, 5]  # three failures, a rest of 1 s, a probe, 2 s, a probe, 4 s
    assert counts[7] > 100
    clock.pass_seconds(60)
    sender.drain()
    assert pending(outbox) == 0
    assert len(wire.arrived) == 100


def test_nothing_is_held_back_by_a_lease_when_the_channel_rests(outbox):
    record(outbox, *(f"i{n}-1" for n in range(8)))
    clock = Clock()
    sender_of(outbox, Wire(*[DOWN] * 3), clock).drain()
    other = Wire()
    assert sender_of(outbox, other, clock).drain() == 5  # the three that failed wait for their own time
    assert sorted(other.arrived) == [f"i{n}-1" for n in range(3, 8)]


def test_channel_is_left_alone_as_long_as_it_asked_for(outbox):
    record(outbox, "i1-1", "i2-1")
    busy = DeliveryError("429", is_retryable=True, retry_after_seconds=40)
    wire, clock = Wire(busy), Clock()
    sender = sender_of(outbox, wire, clock)
    sender.drain()
    clock.pass_seconds(39)
    sender.drain()
    assert wire.tried == ["i1-1"]
    clock.pass_seconds(1)
    assert sender.drain() == 2


def test_refused_alert_is_not_tried_again_and_holds_up_nothing(outbox):
    record(outbox, "i1-1", "i1-2")
    wire, clock = Wire(DeliveryError("400", is_retryable=False)), Clock()
    sender = sender_of(outbox, wire, clock)
    assert sender.drain() == 1
    assert wire.arrived == ["i1-2"]
    state = outbox.channels()[0]
    assert (state.refused_at, state.refusal, state.pending) == (NOW, "400", 0)


def test_alert_that_cannot_be_read_is_refused(outbox):
    outbox.record([], [AlertRecord("k", "i1", {"title": "only"})], channels=["hook"], now=NOW)
    assert sender_of(outbox, Wire(), Clock()).drain() == 0
    assert "cannot be read" in outbox.channels()[0].refusal


def test_what_was_not_begun_is_given_back_when_the_sender_is_stopped(outbox):
    record(outbox, *(f"i{n}-1" for n in range(8)))
    stop, clock = Event(), Clock()

    class Stopping(Wire):
        def send(self, alert: Alert) -> None:
            super().send(alert)
            stop.set()

    assert sender_of(outbox, Stopping(), clock).drain(stop) == 1
    assert sender_of(outbox, Wire(), clock).drain() == 7


def test_no_alert_goes_out_twice_when_two_senders_work_at_once(outbox):
    keys = [f"i{n}-1" for n in range(60)]
    record(outbox, *keys)
    wires = [Wire(seconds=0.001), Wire(seconds=0.001)]
    threads = [Thread(target=sender_of(outbox, wire, Clock()).drain) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*wires[0].arrived, *wires[1].arrived]) == sorted(keys)


def test_one_channel_does_not_wait_for_another_that_hangs(outbox):
    record(outbox, "i1-1", "i2-1", channels=("slow", "fast"))
    wires = {"slow": Wire(seconds=0.3), "fast": Wire()}
    slow, fast = senders_of(wires, outbox, config=PATIENT, clock=Clock(), rng=Random(0))
    thread = Thread(target=slow.drain)
    thread.start()
    assert fast.drain() == 2
    assert thread.is_alive()
    thread.join()

"""Incidents of many groups that open, grow, are taken care of and resolve, written as the monitor writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from flows.incidents import record_change
from infra.outbox import IncidentRecord, Outbox
from monitoring.incidents import Advance, Incident, IncidentConfig, Silence, acknowledge, advance
from monitoring.result import CheckResult, Status

FAMILIES = ("data", "population", "catalogue", "model", "serving")
START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = IncidentConfig()
_STEP = timedelta(seconds=400)
_LIFE = ("open", "grow", "join", "ack", "grow", "calm", "calm")
"""What happens to a group from run to run: five transitions, since an acknowledged incident that grows little is not
told; then a new incident."""


@dataclass(frozen=True)
class Step:
    """One run of the monitor for one model: what changed, and the incidents it knew before."""

    change: Advance
    now: datetime


def steps(num_models: int) -> Iterator[Step]:
    """Yield runs without end, model by model; the first family of the first model is silenced."""
    silence = Silence("model-0", FAMILIES[0], datetime.max.replace(tzinfo=UTC))
    incidents: dict[str, tuple[Incident, ...]] = {}
    turn = 0
    while True:
        now, event = START + turn * _STEP, _LIFE[turn % len(_LIFE)]
        for number in range(num_models):
            model = f"model-{number}"
            if event == "ack":
                change = _take_care(incidents[model], now=now)
            else:
                before = tuple(one for one in incidents.get(model, ()) if one.resolved_at is None)
                change = advance(before, _results(event), model=model, now=now, config=CONFIG, silences=[silence])
            incidents[model] = change.incidents
            yield Step(change, now)
        turn += 1


def write_transitions(outbox: Outbox, source: Iterator[Step], count: int, channels: list[str]) -> Iterator[list[str]]:
    """Write runs until `count` transitions were announced; yield the keys of each run after it was written.

    The last run is cut, so that exactly `count` are announced.
    """
    written = 0
    known: dict[str, IncidentRecord] = {}
    while written < count:
        step, now = next(source), datetime.now(UTC)
        transitions = tuple(islice(step.change.transitions, count - written))
        mine = [known[one.incident_id] for one in step.change.incidents if one.incident_id in known]
        change = Advance(step.change.incidents, transitions)
        known |= record_change(outbox, change, mine, channels=channels, link="http://127.0.0.1/report", now=now)
        written += len(transitions)
        yield [one.key for one in transitions]


def _take_care(incidents: tuple[Incident, ...], *, now: datetime) -> Advance:
    changes = [acknowledge(one, by="ada", note="on it", now=now) for one in incidents if one.resolved_at is None]
    return Advance(
        tuple(one for change in changes for one in change.incidents),
        tuple(one for change in changes for one in change.transitions),
    )


def _results(event: str) -> list[CheckResult]:
    sizes = {"open": 5.0, "grow": 9.0, "join": 9.0, "calm": 0.0}
    names = ("rate", "share") if event in {"join", "calm"} else ("rate",)
    status = Status.OK if event == "calm" else Status.DRIFT
    return [
        CheckResult(name, family, status, size=sizes[event], since=START, message=f"{name} of {family} moved.")
        for family in FAMILIES
        for name in names
    ]

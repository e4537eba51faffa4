"""One day of the closed loop after the other: people visit, nights collect and judge, rollouts are looked at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.loop_home import Clock, Shown, gateway_up, prefect_up, send
from benchmarks.loop_world import LoopSizes, People
from flows.canary import look
from flows.clock import at
from flows.collect import move_batch
from flows.ingest import ingest
from flows.lifecycle import Data, lifecycle
from flows.monitor import MonitorConfig, monitor
from flows.references import Traffic
from flows.replay import await_comparisons, await_gateway, is_in_shadow
from flows.retrains import RetrainConfig
from flows.validate import validate
from flows.wiring import Platform, connect
from infra.retrains import Retrain
from infra.rollout_records import RolloutState
from infra.settings import Settings
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.shadow import ShadowConfig
from monitoring.drift.served import ServedConfig
from monitoring.incidents import incident_from
from monitoring.policy import PolicyConfig
from recmodels.presets import ease, popularity
from recmodels.recipe import DataConfig, Recipe

FIRST = date(2026, 3, 2)
"""Day 0: a Monday."""

CANARY = CanaryConfig(
    shadow=ShadowConfig(minimum_requests=200, minimum_overlap=0.0),
    steps=(0.2, 0.5),
    minimum_users=100,
    tuned_users=2000,
)
"""Fewer than 1000 users an arm are a demonstration, and the verdicts say so: the feed has 600 visits a day. The
overlap of lists is not asked for, as `flows.retrains.RetrainConfig` has it: after the shift it may be 2 %."""

POPULARITY, EASE = popularity(DataConfig(label="clicked")), ease(DataConfig(label="clicked"))


@dataclass(frozen=True)
class Terms:
    """How the figures learn, and what is trained.

    Attributes:
        learning_days: Days that figures learn from before they are judged.
        own_days: Days of its own that a model's figures need.
        recipes: What every lifecycle trains; without popularity the first model serves from the first day.
    """

    learning_days: int = 21
    own_days: int = 14
    recipes: tuple[Recipe, ...] = (POPULARITY, EASE)


SMALL_TERMS = Terms(learning_days=12, own_days=10, recipes=(EASE,))
"""For a test: figures learn from fewer days, and more of what they say is chance."""

_PARTS = 4
_LOG_NIGHTS = 3
"""The app's log comes every third night: no later than what the gateway saw, which matures for as long."""

_NAME = "synthetic"
_NEVER_JUDGED = {"latency_median": date(9999, 1, 1), "latency_p99": date(9999, 1, 1)}
"""Latencies are those of this machine in these minutes, not of the days that are lived."""

_NIGHT = timedelta(minutes=45)


@dataclass
class Lived:
    """What happened, by day of the loop.

    Attributes:
        sizes: What was lived in.
        rates: The champion's clicks per impression, by day.
        failed: Requests that were not answered.
        actions: What the policy said in the night after each day.
        lines: The timeline in words.
        incidents: Every incident: group, day of opening, first day of the deviation, day of resolution.
        retrains: Every retrain.
        rollouts: Every rollout: when it began, changed and ended.
        champions: Version and day of each champion.
    """

    sizes: LoopSizes
    rates: list[float] = field(default_factory=list)
    failed: int = 0
    actions: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    retrains: list[Retrain] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)
    champions: list[tuple[int, float]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return what a report keeps."""
        retrains = [{"id": one.retrain_id, "outcome": one.outcome, "words": one.words} for one in self.retrains]
        return {
            "seed": self.sizes.seed,
            "rates": [round(rate, 4) for rate in self.rates],
            "actions": self.actions,
            "incidents": self.incidents,
            "retrains": retrains,
            "rollouts": self.rollouts,
            "champions": self.champions,
            "timeline": self.lines,
        }


class Loop:
    """A home whose people, gateway and nights share one clock.

    Args:
        settings: Of the home.
        people: Who lives in it.
        terms: How the figures learn, and what is trained.
        tell: Takes each line of the timeline.
    """

    def __init__(self, settings: Settings, people: People, terms: Terms, *, tell: Callable[[str], None]) -> None:
        self.home: Platform = connect(settings)
        self.people = people
        self.lived = Lived(people.sizes)
        self.clock = Clock(people.midnight(0))
        self._settings = settings
        self._terms = terms
        self._tell = tell
        self._told: set[str] = set()
        self._config = MonitorConfig(
            served=ServedConfig(learning_days=terms.learning_days, own_days=terms.own_days, relearn_from=_NEVER_JUDGED),
            checks={"own_history": {"learning_days": terms.learning_days, "own_days": terms.own_days}},
            policy=PolicyConfig(minimum_drifted_rows=8 * people.sizes.people),
            retrain=RetrainConfig(recipes=terms.recipes, canary=CANARY),
            draws=False,
        )

    def begin(self) -> None:
        """Bring in the log of the days before, and train the first models."""
        path = self._write("seed", range(-self.people.sizes.seed_days, 0))
        data = Data(source="table", path=path, options=self._options(), name=_NAME)
        with at(self.people.midnight(0)):
            lifecycle(data, list(self._terms.recipes), Traffic.LIVE, CANARY, cause="the first lifecycle")

    def day(self, number: int) -> None:
        """Live a day and the night after it."""
        shown = Shown()
        for visits in self.people.visits(number, parts=_PARTS):
            send(self._settings, self.people, self.clock, visits, shown)
            if self.home.rollouts.active() is not None:
                self.look()
        self.lived.rates.append(shown.rate)
        self.lived.failed += shown.failed
        self.people.learn(number)
        night = self.people.midnight(number + 1) + _NIGHT
        self.clock.moment = night
        with at(night):
            if number % _LOG_NIGHTS == _LOG_NIGHTS - 1:
                path = self._write(f"day-{number}", range(number + 1 - _LOG_NIGHTS, number + 1))
                validate(ingest("table", path, self._options(), _NAME))
            while move_batch():
                pass
            found = monitor(self._config)
        self.lived.actions.append(found.action)
        if self.home.rollouts.active() is not None:
            await_gateway.fn(self._active())
        self._note(number, shown.rate, found.action, found.words)

    def look(self) -> None:
        """Let the controller look at the rollout, and wait until the gateway serves what it says."""
        rollout_id = self._active()
        if is_in_shadow(rollout_id):
            await_comparisons.fn(rollout_id)
        self.clock.moment += timedelta(minutes=1)
        with at(self.clock.moment):
            rolled = look()
        assert rolled is not None, "there is a rollout"
        self._say(f"rollout {rollout_id} {rolled.state} {rolled.rule}", at_=self.clock.moment, words=rolled.words)
        if rolled.state in (RolloutState.RUNNING, RolloutState.SHADOW, RolloutState.HELD):
            await_gateway.fn(rollout_id)

    def conclude(self) -> Lived:
        """Write down what the stores say of the whole time."""
        lived, home = self.lived, self.home
        for record in home.outbox.incidents(resolved_after=self.people.midnight(-1)):
            incident = incident_from(record.document)
            resolved = incident.resolved_at
            lived.incidents.append(
                {
                    "group": f"{incident.model or 'data'} {incident.family}",
                    "opened": self._day_of(incident.opened_at),
                    "resolved": None if resolved is None else self._day_of(resolved),
                }
            )
        lived.retrains = home.retrains.all()[::-1]
        lived.champions = [(one.version, self._day_of(one.since)) for one in home.rollouts.history()]
        for rollout in home.rollouts.rollouts():
            steps = [
                {"day": self._day_of(one.at), "state": one.state, "reason": one.reason}
                for one in home.rollouts.transitions(rollout.rollout_id)
            ]
            lived.rollouts.append({"id": rollout.rollout_id, "cause": rollout.cause, "steps": steps})
        return lived

    def is_settled(self) -> bool:
        """Say whether no incident is open and no rollout is on its way."""
        is_quiet = not [one for one in self.home.outbox.incidents() if one.state == "open"]
        return is_quiet and self.home.rollouts.active() is None

    def _active(self) -> str:
        active = self.home.rollouts.active()
        assert active is not None, "a rollout is on its way"
        return active.rollout_id

    def _day_of(self, moment: datetime) -> float:
        return round((moment - self.people.midnight(0)) / timedelta(days=1), 2)

    def _note(self, number: int, rate: float, action: str, words: str) -> None:
        night = self.people.midnight(number + 1) + _NIGHT
        for record in self.home.outbox.incidents(resolved_after=night - timedelta(hours=1)):
            incident = incident_from(record.document)
            figures = ", ".join(sorted({one.figure for one in incident.results}))
            key = f"incident {incident.model or 'data'} {incident.family} {incident.state}"
            self._say(f"{key} {incident.incident_id}", at_=night, words=figures)
        for asked in self.home.retrains.all():
            self._say(f"retrain {asked.retrain_id} {asked.outcome}", at_=night, words=asked.words)
        if action != "ok" or number % 10 == 9:
            self._say(f"day {number}: click rate {rate:.3f}, policy: {action}", at_=night, words=words)

    def _say(self, what: str, *, at_: datetime, words: str) -> None:
        if what not in self._told:
            self._told.add(what)
            line = f"day {self._day_of(at_):6.2f}  {what}: {words}"
            self.lived.lines.append(line)
            self._tell(line[:240])

    def _write(self, name: str, days: range) -> Path:
        import pyarrow as pa

        folder = self._settings.root / "app"
        folder.mkdir(parents=True, exist_ok=True)
        items = folder / "items.parquet"
        if not items.exists():
            pq.write_table(self.people.items, items)
        path = folder / f"{name}.parquet"
        pq.write_table(pa.concat_tables([self.people.log[day] for day in days]), path)
        return path

    def _options(self) -> dict[str, Any]:
        return {"items": str(self._settings.root / "app" / "items.parquet")}


def live(settings: Settings, sizes: LoopSizes, terms: Terms, *, stable_days: int, tell: Callable[[str], None]) -> Lived:
    """Live until so many stable days after the shift's incident has ended, or until the days of the world end."""
    people = People.born(sizes, first=FIRST)
    loop = Loop(settings, people, terms, tell=tell)
    stable = 0
    with prefect_up(settings):
        loop.begin()
        with gateway_up(settings, loop.home.database, loop.clock):
            for number in range(sizes.days):
                loop.day(number)
                has_shifted = sizes.shift_day is not None and number >= sizes.shift_day + 3
                stable = stable + 1 if has_shifted and loop.is_settled() else 0
                if stable > stable_days:
                    break
    return loop.conclude()

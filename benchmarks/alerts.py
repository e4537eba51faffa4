"""Delivery of alerts: targets beside what was measured, against sinks on loopback: `python -m benchmarks.alerts`.

Every transition comes of real incidents (grouping, silence, acknowledgement), goes through the real outbox and leaves
by the real sender process. `--quick` runs a tenth of it.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil

from benchmarks.alert_sinks import Faults, Sink, http_sink
from benchmarks.alert_worlds import FAMILIES, START, steps, write_transitions
from benchmarks.table import Figure, report
from flows.sending import SendConfig, senders_of
from infra.database import open_database
from infra.outbox import Outbox
from infra.settings import Settings
from monitoring.alerts.channels import open_channel
from monitoring.incidents import Incident, IncidentConfig, advance
from monitoring.result import CheckResult, Status

SEED = 20261122
MISBEHAVING = Faults(error=0.02, limited=0.01, busy=0.001, cut_before=0.005, cut_after=0.005, hang=0.002, slow=0.01)
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Told:
    """What a sink got of what was announced.

    Attributes:
        announced: Transitions.
        missed: Of these, how many never came.
        foreign: Copies of keys that nobody announced.
        disordered: First copies that came before that of an earlier transition of their incident.
        copies: Copies beyond the first.
        unexplained: Of these, those beyond what ambiguous answers explain.
    """

    announced: int
    missed: int
    foreign: int
    disordered: int
    copies: int
    unexplained: int


def compare(announced: Sequence[str], sink: Sink) -> Told:
    """Compare what a sink took with what was announced."""
    counts, known = Counter(sink.taken), set(announced)
    newest: dict[str, int] = {}
    disordered = 0
    for key in dict.fromkeys(sink.taken):
        incident, sequence, _ = key.split("-")
        disordered += int(sequence) < newest.get(incident, 0)
        newest[incident] = max(newest.get(incident, 0), int(sequence))
    return Told(
        announced=len(announced),
        missed=len(known - counts.keys()),
        foreign=len(counts.keys() - known),
        disordered=disordered,
        copies=sum(counts.values()) - len(counts),
        unexplained=sum(max(0, count - 1 - sink.ambiguous[key]) for key, count in counts.items()),
    )


@dataclass
class Home:
    """A home with its outbox, and the sender process over it."""

    settings: Settings
    outbox: Outbox
    process: subprocess.Popen[bytes] | None = None
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    _now: float = 0.0

    def start(self) -> None:
        """Start the sender."""
        environment = {**os.environ, **self.settings.environment(), "PYTHONPATH": str(_ROOT)}
        log = (self.settings.root / "sender.log").open("ab")
        command = (sys.executable, "-m", "flows.sender")
        self.process = subprocess.Popen(command, env=environment, cwd=_ROOT, stdout=log, stderr=log)
        log.close()

    def note(self) -> None:
        """Remember what the running sender has used."""
        assert self.process is not None
        try:
            process = psutil.Process(self.process.pid)
            used = process.cpu_times()
            self._now = used.user + used.system
            self.peak_mb = max(self.peak_mb, process.memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            pass

    def end(self, *, kill: bool = False) -> int:
        """Stop the sender, and return its exit code."""
        assert self.process is not None
        self.note()
        self.cpu_seconds += self._now
        self.process.kill() if kill else self.process.terminate()
        return self.process.wait(30)


@contextmanager
def home(channels: dict[str, dict[str, object]]) -> Iterator[Home]:
    """Make a home with channels."""
    with tempfile.TemporaryDirectory(prefix="everfeed-alerts-") as folder:
        settings = Settings(home=Path(folder))
        settings.channels_file.write_text(json.dumps(channels))
        database = open_database(settings.database)
        made = Home(settings, Outbox(database))
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.end(kill=True)
            database.close()


def webhook(sink: Sink, *, timeout_seconds: float = 0.5) -> dict[str, object]:
    """Return the configuration of a channel to a sink."""
    return {"name": "webhook", "options": {"url": sink.url, "timeout_seconds": timeout_seconds}}


def wait_until_sent(made: Home, *, timeout_seconds: float) -> float:
    """Wait until nothing waits for any channel; return the seconds it took."""
    began = time.monotonic()
    while any(state.pending for state in made.outbox.channels()):
        made.note()
        if time.monotonic() - began > timeout_seconds:
            break
        time.sleep(0.2)
    return time.monotonic() - began


def misbehaving(count: int) -> Iterator[Figure]:
    """Deliver through sinks that fail in every way."""
    with http_sink(MISBEHAVING, seed=SEED) as bad, http_sink() as good:
        channels = {"bad": webhook(bad), "good": webhook(good)}
        with home(channels) as made:
            names = [*channels, "log"]
            began = time.process_time()
            announced = [key for keys in write_transitions(made.outbox, steps(40), count, names) for key in keys]
            writing = time.process_time() - began
            made.start()
            seconds = wait_until_sent(made, timeout_seconds=300 + count / 20)
            code = made.end()
            lines = (made.settings.reports / "alerts.jsonl").read_text().splitlines()
            logged = [json.loads(line)["key"] for line in lines]
    kinds = ", ".join(f"{what} {bad.answers[what]}" for what in MISBEHAVING.names() if what != "ok")
    note = f"sink that misbehaves: {kinds}"
    yield from _told(f"{count:,} transitions, sink that misbehaves", compare(announced, bad), note=note)
    yield from _told(f"{count:,} transitions, sink that works", compare(announced, good))
    yield Figure(
        "the log on disk", "each once, in order", f"{len(logged):,} lines", Counter(logged) == Counter(announced)
    )
    rate = 3 * count / seconds
    yield Figure(
        "time to deliver them, three channels", "-", f"{seconds:.1f} s, {rate:,.0f} a second", None,
        f"CPU of the sender {made.cpu_seconds:.1f} s ({made.cpu_seconds / count / 3 * 1e3:.2f} ms each), peak"
        f" {made.peak_mb:.0f} MB, exit code {code}; writing them took {writing:.1f} s of CPU",
    )  # fmt: skip


def killed(count: int, kills: int, *, seconds: float) -> Iterator[Figure]:
    """Kill the sender at random moments while transitions happen at an even pace."""
    rng = np.random.default_rng(SEED)
    with http_sink() as sink, home({"hook": webhook(sink)}) as made:
        world = write_transitions(made.outbox, steps(40), count, ["hook"])
        announced: list[str] = []
        made.start()
        began = time.monotonic()
        moments = np.sort(rng.uniform(1.0, seconds, kills))
        died = 0
        for keys in world:
            announced += keys
            while time.monotonic() - began < seconds * len(announced) / count:
                if died < kills and time.monotonic() - began >= moments[died]:
                    made.end(kill=True)
                    made.start()
                    died += 1
                made.note()
                time.sleep(0.01)
        wait_until_sent(made, timeout_seconds=120)
        made.end()
    told = compare(announced, sink)
    limit = count // 1000
    yield Figure("SIGKILL at random moments: kills", ">= 50", str(died), died >= 50 or None, f"over {seconds:.0f} s")
    yield Figure("SIGKILL: missed", "0", f"{told.missed} of {count:,}", told.missed == 0)
    yield Figure(
        "SIGKILL: second copies, all with their key", f"<= 1 in 1000 ({limit})", str(told.copies),
        told.copies <= limit and told.foreign == 0, f"{count / seconds:.0f} transitions a second meanwhile",
    )  # fmt: skip
    yield Figure("SIGKILL: out of order", "0", str(told.disordered), told.disordered == 0)


def outage(count: int, down_seconds: float) -> Iterator[Figure]:
    """Let a sink be down while transitions happen, with the real clock and the real sender."""
    with http_sink() as sink, home({"hook": webhook(sink)}) as made:
        sink.is_down = True
        made.start()
        began = time.monotonic()
        announced: list[str] = []
        for keys in write_transitions(made.outbox, steps(40), count, ["hook"]):
            announced += keys
            time.sleep(max(0.0, down_seconds * len(announced) / count - (time.monotonic() - began)))
        sink.is_down = False
        seconds = wait_until_sent(made, timeout_seconds=120)
        made.end()
    told = compare(announced, sink)
    yield Figure(
        f"sink down for {down_seconds:.0f} s (real clock): caught up after", "<= 60 s", f"{seconds:.1f} s",
        seconds <= 60 and told.missed == told.copies == told.disordered == 0,
        f"{count:,} transitions waited; longest pause between two tries is 30 s and is reached after 31 s",
    )  # fmt: skip


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now


def long_outage(count: int, down: timedelta = timedelta(minutes=30)) -> Iterator[Figure]:
    """Let a sink be down for 30 minutes of a clock that is moved by hand; the sink and the outbox are real."""
    worst, tries = timedelta(0), 0
    with http_sink() as sink, home({"hook": webhook(sink)}) as made:
        clock = Clock()
        channel = open_channel("webhook", {"url": sink.url, "timeout_seconds": 0.5})
        (sender,) = senders_of({"hook": channel}, made.outbox, config=SendConfig(), clock=clock)
        sink.is_down = True
        up_at = clock.now + down
        announced = [key for keys in write_transitions(made.outbox, steps(40), count, ["hook"]) for key in keys]
        while clock.now < up_at:
            tries += made.outbox.has_due(now=clock.now, channel="hook") and not sender.pace.is_resting(clock.now)
            sender.drain()
            clock.now += timedelta(seconds=1)
        sink.is_down = False
        began = time.monotonic()
        while made.outbox.channels()[0].pending and worst < timedelta(minutes=5):
            sender.drain()
            clock.now += timedelta(seconds=1)
            worst = clock.now - up_at
        real = time.monotonic() - began
        sender.close()
    told = compare(announced, sink)
    seconds = worst.total_seconds() + real
    yield Figure(
        "sink down for 30 minutes (clock moved by hand): caught up after", "<= 60 s", f"{seconds:.1f} s",
        seconds <= 60 and told.missed == told.copies == told.disordered == 0,
        f"{count:,} waited; {worst.total_seconds():.0f} s of the moved clock (pauses between tries) + {real:.1f} s of"
        f" sending; {tries} tries during the outage",
    )  # fmt: skip


def storms() -> Iterator[Figure]:
    """Count notices of storms and of a flapping figure, and resolutions."""
    moved = [CheckResult(f"figure-{n}", FAMILIES[n % 5], Status.DRIFT, size=5.0 + n, since=START) for n in range(1000)]
    told = _play([(0.3 * n, moved[: n + 1]) for n in range(1000)])
    most = max(Counter(group for _, group, _ in told).values())
    yield Figure("1000 correlated signals in 5 minutes: notices a group", "<= 1", str(most), most <= 1)
    flapping = [(10.0 * n, [replace(moved[0], status=Status.OK if n % 2 else Status.DRIFT)]) for n in range(360)]
    told = _play(flapping)
    starts = [seconds for seconds, _, _ in told]
    most = max(sum(start <= other < start + 300 for other in starts) for start in starts)
    yield Figure("a figure that flaps for an hour: notices in any 5 minutes", "<= 2", str(most), most <= 2)
    state = ""
    for _, _, kind in told:
        state = kind
    yield Figure("the last word about it", "resolved", state, state == "resolved", "resolve is always sent")


def _play(runs: Sequence[tuple[float, Sequence[CheckResult]]]) -> list[tuple[float, tuple[str, str], str]]:
    incidents: tuple[Incident, ...] = ()
    told = []
    for seconds, results in runs:
        change = advance(incidents, results, model="", now=START + timedelta(seconds=seconds), config=IncidentConfig())
        incidents = change.incidents
        told += [(seconds, one.incident.group, one.kind.value) for one in change.transitions]
    return told


def _told(what: str, told: Told, *, note: str = "") -> Iterator[Figure]:
    yield Figure(f"{what}: missed", "0", str(told.missed), told.missed == told.foreign == 0, note)
    yield Figure(f"{what}: out of order", "0", str(told.disordered), told.disordered == 0)
    once = told.announced - told.missed
    yield Figure(
        f"{what}: second copies without an ambiguous answer", "0", f"{told.unexplained} of {told.copies}",
        told.unexplained == 0, f"a sink that drops known keys ends with {once:,}",
    )  # fmt: skip


def measure(*, is_quick: bool, outage_seconds: float) -> Iterator[Figure]:
    """Yield every line of the table."""
    size = 1000 if is_quick else 10_000
    yield from misbehaving(size)
    yield from killed(size, 6 if is_quick else 60, seconds=20 if is_quick else 200)
    yield from outage(size, outage_seconds)
    yield from long_outage(min(size, 2000))
    yield from storms()


def main(arguments: list[str] | None = None) -> int:
    """Run everything and print the table; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 transitions, 6 kills, an outage of 10 s")
    parser.add_argument("--outage", type=float, default=0.0, help="seconds of the outage with the real clock")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    logging.getLogger("flows.sending").setLevel(logging.ERROR)  # failures are what is wanted here
    seconds = options.outage or (10.0 if options.quick else 120.0)
    began, cpu = time.monotonic(), time.process_time()
    figures = list(measure(is_quick=options.quick, outage_seconds=seconds))
    took = f"{time.monotonic() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU without the senders"
    figures.append(Figure("this run", "-", took, None, f"load {os.getloadavg()[0]:.1f}"))
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())

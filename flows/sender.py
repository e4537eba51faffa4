"""`python -m flows.sender`: sends alerts as soon as they are due, until it is stopped. It imports no Prefect.

At its start, when no other sender of this home is alive, it takes over what one that was killed had under way.
"""

import fcntl
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from flows.channels import Plan, open_planned, plan_channels
from flows.clock import utc_now
from flows.incidents import check_channels, check_disk
from flows.sending import ChannelSender, SendConfig, sender_lock, senders_of
from infra.database import Database, open_database
from infra.locks import shared
from infra.outbox import Outbox
from infra.settings import Settings
from recmodels.errors import EverfeedError

_log = logging.getLogger("flows.sender")

_POLL_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_TROUBLE_SECONDS = 5.0
_FORGET_DAYS = 90


@dataclass(frozen=True)
class Crew:
    """The channels of one configuration, each with a thread of its own.

    Attributes:
        plan: What was configured.
        problems: Why some of it cannot be opened, by name.
        senders: One a channel that is open.
        threads: One a channel.
        stop: Set when the configuration has changed, or the process ends.
        forget_at: When old alerts are next deleted.
    """

    plan: Plan
    problems: dict[str, str]
    senders: list[ChannelSender]
    threads: list[Thread] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    forget_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def start(self) -> None:
        """Begin to send."""
        for sender in self.senders:
            thread = Thread(target=_work, args=(sender, self.stop), name=f"channel-{sender.name}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Stop, after what is under way has ended."""
        self.stop.set()
        for thread, sender in zip(self.threads, self.senders, strict=True):
            thread.join()
            sender.close()


def main() -> int:
    """Send until SIGTERM or SIGINT.

    Returns:
        The exit code: 2 where the store cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _log.setLevel(logging.INFO)  # of libraries only warnings: their lines may hold addresses, which may be secrets
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    settings = Settings()
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        database = open_database(settings.database, is_synced=False)
        try:
            serve(settings, database, ended=ended)
        finally:
            database.close()
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def serve(settings: Settings, database: Database, *, ended: Event, config: SendConfig = SendConfig()) -> None:  # noqa: B008 - frozen
    """Send until `ended` is set, then end what is under way; a channel that cannot be opened holds up no other."""
    outbox = Outbox(database)
    crew = _crew(outbox, plan_channels(settings), config)
    with _among_senders(settings) as is_alone:
        if is_alone and database.engine.dialect.name == "sqlite":
            _log.info("deliveries taken over from a sender that was killed: %d", outbox.take_over())
    with shared(sender_lock(settings)):
        crew.start()
        try:
            while not ended.wait(_LOOK_SECONDS):
                crew = _look(settings, outbox, crew, config)
        finally:
            crew.finish()


def _look(settings: Settings, outbox: Outbox, crew: Crew, config: SendConfig) -> Crew:
    """Follow a changed list of channels, see how each does, forget what is old; trouble is logged and passes."""
    now = utc_now()
    plan = plan_channels(settings)
    if plan != crew.plan:
        crew.finish()
        crew = _crew(outbox, plan, config)
        crew.start()
    try:
        names = [sender.name for sender in crew.senders]
        check_channels(outbox, names, now=now, link=settings.console_url, problems=crew.problems)
        check_disk(outbox, names, settings=settings, now=now)
        if now >= crew.forget_at:
            outbox.forget(before=now - timedelta(days=_FORGET_DAYS))
            crew = replace(crew, forget_at=now + timedelta(hours=1))
    except EverfeedError as error:
        _log.error("alert channels: %s", error)
    return crew


def _crew(outbox: Outbox, plan: Plan, config: SendConfig) -> Crew:
    channels, problems = open_planned(plan)
    _log.info("channels: %s", ", ".join(channels))
    for name, problem in problems.items():
        _log.error("channel %s cannot be opened: %s", name, problem)
    return Crew(plan, problems, senders_of(channels, outbox, config=config))


def _work(sender: ChannelSender, stop: Event) -> None:
    """Send what is due on one channel, again and again."""
    while not stop.is_set():
        try:
            sender.drain(stop)
        except EverfeedError as error:
            _log.error("channel %s: %s", sender.name, error)
            stop.wait(_TROUBLE_SECONDS)
        stop.wait(_POLL_SECONDS)


@contextmanager
def _among_senders(settings: Settings) -> Iterator[bool]:
    """Say whether no other sender of this home is alive; while it is so, none can start."""
    path = sender_lock(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


if __name__ == "__main__":
    sys.exit(main())

"""What every command that changes state leaves in the audit log: who, what, on what, and how it ended."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import typer

from flows.clock import utc_now
from flows.commands.common import user_name
from infra.settings import Settings
from recmodels.errors import EverfeedError

_log = logging.getLogger(__name__)


@dataclass
class Deed:
    """What a command is doing; it fills in what it learns on the way.

    Attributes:
        subject: On what: a rollout, an incident, a token's name; never a user's id.
        words: What a person reads later.
    """

    subject: str = ""
    words: str = ""


@contextmanager
def audited(
    settings: Settings, action: str, subject: str = "", words: str = "", *, tells_why: bool = True
) -> Iterator[Deed]:
    """Record an action of the command line once it ended: done, refused with the reason, or failed.

    What a person did not agree to was not tried, and is not recorded.

    Args:
        settings: The home.
        action: The verb as it is typed, such as ``canary promote``.
        subject: On what; may be filled in later.
        words: Why, or what came of it; may be filled in later.
        tells_why: Errors are recorded in their own words; not where these may name a user.

    Raises:
        StoreError: It was done, and the database would not take the record.
    """
    from infra.audit_log import DONE, FAILED, REFUSED

    deed = Deed(subject, words)
    try:
        yield deed
    except (typer.Abort, typer.BadParameter):
        raise
    except EverfeedError as error:
        _keep_if_possible(settings, action, deed, REFUSED, str(error) if tells_why else type(error).__name__)
        raise
    except BaseException as error:  # noqa: BLE001, RUF100 - recorded, and passed on as it is
        _keep_if_possible(
            settings, action, deed, FAILED, f"{type(error).__name__}: {error}" if tells_why else type(error).__name__
        )
        raise
    keep(settings, action, deed, DONE)


def keep(settings: Settings, action: str, deed: Deed, outcome: str) -> None:
    """Write one record in the name of whoever types."""
    from infra.audit_log import AuditLog
    from infra.database import open_database

    database = open_database(settings.database)
    try:
        AuditLog(database).append(
            actor=f"cli:{user_name()}",
            action=action,
            subject=deed.subject,
            outcome=outcome,
            words=deed.words,
            now=utc_now(),
        )
    finally:
        database.close()


def audited_at_home(settings: Settings, action: str, subject: str) -> AbstractContextManager[Deed]:
    """Record an action that needs no home where there is one: no table is made for the record alone."""
    from infra.database import peek_version

    has_tables = peek_version(settings.database) is not None
    return audited(settings, action, subject) if has_tables else nullcontext(Deed(subject))


def _keep_if_possible(settings: Settings, action: str, deed: Deed, outcome: str, why: str) -> None:
    """Record what went wrong; where the database is what is wrong, the error itself is told and nothing hides it."""
    deed.words = f"{deed.words}: {why}" if deed.words else why
    try:
        keep(settings, action, deed, outcome)
    except EverfeedError as error:
        _log.warning("the audit log has no record of this %r: %s", action, error)

"""Erasure of a person: from serving at once, from every store, from every model trained after, with a receipt of it.

Every step looks for what it has to remove, so that a flow that was killed goes on when it is run again. The id never
leaves the process: what Prefect keeps of the parameters is masked, and the receipt names the erasure by its tombstone.
"""

import logging
from dataclasses import replace
from typing import Final

import pyarrow.compute as pc
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, SecretStr

from flows.clock import utc_now
from flows.erased_models import learned_from, next_training
from flows.erasure_checks import notes_of, verify_erased
from flows.receipts import lines_of, write_receipt
from flows.retries import is_worth_retrying
from flows.wiring import Platform, platform
from infra.erasures import Receipt
from infra.events import user_key
from infra.home_erasure import Person, count_in_files, erase_from_files
from infra.tombstones import tombstone
from monitoring.quarantine import row_ids
from recmodels.data.schema import USER_ID
from recmodels.errors import StoreError

_LAKE: Final = "lake"
_log = logging.getLogger(__name__)


class Whom(BaseModel):
    """Whom an erasure is about, shown as asterisks wherever parameters are."""

    model_config = ConfigDict(frozen=True)

    user_id: SecretStr
    """The raw id; empty where only the key is known and nothing tells the id."""
    user_key: SecretStr

    @property
    def person(self) -> Person:
        """Id and key as they are."""
        return Person(self.user_id.get_secret_value(), self.user_key.get_secret_value())

    @property
    def erasure_id(self) -> str:
        """The tombstone."""
        return tombstone(self.user_key.get_secret_value())


def whom(home: Platform, *, user_id: str = "", key: str = "") -> Whom:
    """Return whom a raw id or a key names; the id of a key is looked up in the database, then in the lake."""
    secret = home.settings.user_secret()
    key = key or user_key(user_id, secret)
    user_id = user_id or home.events.user_ids([key]).get(key, "") or _id_in_lake(home, key, secret=secret)
    return Whom(user_id=SecretStr(user_id), user_key=SecretStr(key))


@flow(
    name="forget",
    description="Remove a person from serving, from every store and from what models learn next.",
    persist_result=False,
    validate_parameters=False,
)
def forget(who: Whom, by: str, wants_retrain: bool = False) -> Receipt:  # noqa: FBT001, FBT002 - a parameter of the flow
    """Erase a person, and return the receipt; run again after an interruption, it goes on.

    Raises:
        StoreError: A store cannot be used, or something about the person was found after all of it.
    """
    forget_in_serving(who, by)
    survey(who)
    erase_in_lake(who)
    erase_in_files(who)
    forget_in_serving(who, by)  # what was on its way into the database meanwhile
    scrub()
    if wants_retrain:
        ask_for_retrain(who)
    return conclude(who)


@task(name="forget in serving", cache_policy=NO_CACHE, retries=2, retry_condition_fn=is_worth_retrying)
def forget_in_serving(who: Whom, by: str) -> None:
    """Set the tombstone, and delete every row of the database: from then on no worker has the history."""
    receipt = platform().erasures.begin(who.person.user_key, by=by, now=utc_now())
    _log.info("erasure %s: serving has forgotten", receipt.erasure_id)


@task(name="survey", cache_policy=NO_CACHE)
def survey(who: Whom) -> None:
    """Write into the receipt what is about the person, and which models learned from them, before anything goes."""
    home, person = platform(), who.person
    lake = {f"{_LAKE}.{name}": rows for name, rows in _count_in_lake(home, person).items()}
    files = count_in_files(home.settings, person)
    known = {model.digest for model in home.erasures.receipt(who.erasure_id).models}
    models = learned_from(home, person.user_id, known=known)
    home.erasures.note(
        who.erasure_id,
        lambda receipt: replace(
            receipt.with_rows(lake | files), models=models, until=next_training(home, models, now=utc_now())
        ),
    )


@task(name="erase in the lake", cache_policy=NO_CACHE)
def erase_in_lake(who: Whom) -> None:
    """Remove the rows and every older version of their tables, and the marks of quarantined rows that are gone."""
    home, person = platform(), who.person
    erasure = home.lake.erase_user(person.user_id, user_key=person.user_key, now=utc_now())
    rows = {f"{_LAKE}.{name}": count for name, count in erasure.rows.items()}
    home.erasures.note(
        who.erasure_id, lambda receipt: replace(receipt.with_rows(rows), versions=dict(erasure.versions))
    )
    if home.lake.version("quarantine") is not None:
        home.releases.keep_only(row_ids(home.lake.read("quarantine")).to_pylist())


@task(name="erase in files", cache_policy=NO_CACHE)
def erase_in_files(who: Whom) -> None:
    """Remove the person from staged batches, evaluations, covariates, reports, logs and MLflow's artifacts."""
    erase_from_files(platform().settings, who.person)


@task(name="scrub the database", retries=5, retry_delay_seconds=1.0)
def scrub() -> None:
    """Write the database's file anew, since deleted rows stay in its free pages.

    Raises:
        StoreError: Somebody read from it all the while.
    """
    if not platform().database.scrub():
        raise StoreError(
            "the database's log could not be emptied, since somebody reads from it. Run the erasure again."
        )


@task(name="ask for a retrain", cache_policy=NO_CACHE)
def ask_for_retrain(who: Whom) -> None:
    """Ask for a retrain of what the home trains, unless no model contains the person."""
    home = platform()
    if not home.erasures.receipt(who.erasure_id).models:
        return
    newest = max((one.number for one in home.retrains.all()), default=0)
    asked = home.retrains.request(
        [f"erasure-{who.erasure_id[:12]}"],
        reason="a person was erased whom the models that serve have learned from",
        learns_from=None,
        now=utc_now(),
        seen=newest,
    )
    if asked is None:
        raise StoreError("another retrain was asked for at the same moment. Run the erasure again.")
    home.erasures.note(who.erasure_id, lambda receipt: replace(receipt, retrain_id=asked.retrain_id))


@task(name="conclude", cache_policy=NO_CACHE)
def conclude(who: Whom) -> Receipt:
    """Look everywhere once more, and complete the receipt: in the database, as a file, and as a page.

    Raises:
        StoreError: Something about the person was found.
    """
    home = platform()
    checks = verify_erased(home, who.person)
    failed = [check for check in checks if not check.passed]
    now = None if failed else utc_now()
    receipt = home.erasures.note(
        who.erasure_id,
        lambda known: replace(known, checks=checks, notes=notes_of(home, who.person), completed_at=now),
    )
    if failed:
        found = "; ".join(f"{check.name}: {check.words}" for check in failed)
        raise StoreError(
            f"erasure {who.erasure_id[:12]} is not complete: {found}. Run the same command again, and clean by hand "
            "what is found once more."
        )
    write_receipt(home, receipt)
    create_markdown_artifact(
        key="erasure",
        markdown=f"# Erasure {receipt.erasure_id}\n\n" + "\n".join(lines_of(receipt)),
        description="Receipt",
    )
    return receipt


def _count_in_lake(home: Platform, person: Person) -> dict[str, int]:
    return home.lake.count_user(person.user_id, user_key=person.user_key)


def _id_in_lake(home: Platform, key: str, *, secret: bytes) -> str:
    """Return the id among those of the lake that has the key; empty where none has."""
    for table in ("users", "interactions"):
        if home.lake.version(table) is None:
            continue
        for user_id in pc.unique(home.lake.read(table, columns=[USER_ID])[USER_ID]).to_pylist():
            if user_key(user_id, secret) == key:
                return str(user_id)
    return ""

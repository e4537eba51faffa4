"""A person is erased: no store names them, nothing brings them back, and the receipt says what was done."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import forget as forgetting
from flows.collect import MATURITY, collect
from flows.forget import forget, whom
from flows.ingest import ingest
from flows.references import Screened
from flows.validate import store
from flows.wiring import Platform, connect
from infra.events import Outcome, ServedRequest, user_key
from infra.histories import HistoryEvent
from infra.home_erasure import Person
from infra.settings import Settings
from infra.shadows import ShadowAnswer
from infra.tombstones import tombstone
from recmodels.assignment import Arm
from recmodels.data import schema
from recmodels.errors import StoreError
from tests.flows.homes import ROOT

USER, OTHER = "u000001", "u000002"
OPTIONS = {"users": 20, "items": 15, "creators": 3, "days": 3}
SHOWN = ("v000001", "v000002")


@pytest.fixture
def platform(home: Settings) -> Platform:
    """A home that knows a person in every store: lake, database, staging, evaluations, artifacts, reports, logs."""
    platform = connect(home)
    _ingest()
    for number, (user, age) in enumerate([(USER, MATURITY * 2), (OTHER, MATURITY * 2), (USER, timedelta(hours=1))]):
        _serve(platform, f"q{number}", user, age=age)
    collect()
    key = user_key(USER, home.user_secret())
    platform.histories.append([HistoryEvent(key, "v000001", datetime.now(UTC), "video")])
    platform.shadows.append([ShadowAnswer("q2", "r1", datetime.now(UTC), 1.0, SHOWN, SHOWN, 0.1, 0.1, 2)])
    broken = json.dumps({"user_id": USER, "item_id": "v000001"})
    row = {"table": ["interactions"], "reason": ["odd"], "quarantined_at": [datetime.now(UTC)], "row": [broken]}
    platform.lake.append("quarantine", pa.table(row, schema=schema.QUARANTINE))
    _write(home.runs / "k" / "evaluation" / "per_user.parquet", {"user_id": [USER, OTHER], "ndcg_at_10": [0.1, 0.2]})
    _write(home.artifacts / "a" / "evaluation" / "per_user.parquet", {"user_id": [OTHER, USER], "hit": [0.0, 1.0]})
    _write(home.covariates / "r1.parquet", {"user_key": [key], "rate": [0.5]})
    home.logs.mkdir()
    (home.logs / "gateway.log").write_text(f"1 odd user {key}\n2 another line\n")
    (home.reports / "data_docs").mkdir(parents=True)
    (home.reports / "data_docs" / "users.html").write_text(f"<td>{USER}</td><td>u0000011</td>")
    return platform


def _ingest() -> pa.Table:
    batch = ingest("synthetic", ROOT, dict(OPTIONS))
    _write(batch.folder / "quarantine.parquet", {"row": pa.array([], pa.string())})
    store(batch, Screened(folder=batch.folder, rows={}, quarantined=0, reasons={}, warnings=(), docs=None))
    return pq.read_table(batch.folder / "interactions.parquet")


def _write(path: Path, columns: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _serve(platform: Platform, request_id: str, user: str, *, age: timedelta = timedelta()) -> int:
    moment = datetime.now(UTC) - age
    request = ServedRequest(
        request_id=request_id,
        timestamp=moment,
        user_key=user_key(user, platform.settings.user_secret()),
        surface="video",
        model_version="1",
        arm=Arm.REST,
        item_ids=SHOWN,
        scores=(2.0, 1.0),
        propensities=(1.0, 1.0),
        num_requested=2,
        latency_seconds=0.01,
        user_id=user,
    )
    kept = platform.events.append_requests([request])
    event = Outcome(f"{request_id}-e", request_id, SHOWN[0], schema.CLICKED, 1.0, moment + timedelta(seconds=5))
    platform.events.append_outcomes([event])
    return kept


def _person(platform: Platform) -> Person:
    return Person(USER, user_key(USER, platform.settings.user_secret()))


def _places(platform: Platform) -> list[str]:
    """Return every file of the home that names the person: by its bytes, and by the values of every Parquet file."""
    root, person = platform.settings.root, _person(platform)
    names = re.compile(person.user_key.encode() + rb"|" + USER.encode() + rb"(?![0-9])")
    found = {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and names.search(path.read_bytes())
    }
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        texts = [str(value) for name in table.column_names for value in table[name].unique().to_pylist()]
        if any(name in text for text in texts for name in person.names):
            found.add(str(path.relative_to(root)))
    return sorted(found)


def test_no_byte_of_the_home_names_a_person_who_was_erased(platform: Platform, server: Settings) -> None:
    folders = {place.split("/")[0] for place in _places(platform)}
    assert folders >= {"lake", "staging", "runs", "artifacts", "covariates", "logs", "reports"}
    before, version = platform.lake.read("interactions"), platform.lake.version("interactions")
    assert version
    own = sum(user == USER for user in before["user_id"].to_pylist())

    receipt = forget(whom(platform, user_id=USER), "ann")

    assert _places(platform) == []
    after = platform.lake.read("interactions")
    assert after.num_rows == before.num_rows - own
    assert OTHER in after["user_id"].to_pylist()
    assert receipt.erasure_id == tombstone(_person(platform).user_key)
    assert (receipt.by, receipt.was_known) == ("ann", True)
    assert all(check.passed for check in receipt.checks)
    assert receipt.rows["lake.interactions"] == own
    assert {name: receipt.rows[name] for name in receipt.rows if name.startswith("database.")} == {
        "database.requests": 1,
        "database.outcomes": 1,
        "database.histories": 1,
        "database.shadow_answers": 1,
        "database.user_keys": 1,
    }
    assert {name: receipt.rows[f"lake.{name}"] for name in ("users", "impressions", "outcomes", "quarantine")} == {
        "users": 1,
        "impressions": 2,
        "outcomes": 1,
        "quarantine": 1,
    }
    assert 0 < version < receipt.versions["interactions"]
    with pytest.raises(StoreError, match="a user was erased"):
        platform.lake.read("interactions", version=version)
    kept = platform.settings.receipts / f"{receipt.erasure_id}.json"
    assert json.loads(kept.read_text())["rows"] == receipt.rows
    assert platform.erasures.receipt(receipt.erasure_id[:6]) == receipt
    prefect = [path for path in (server.root / "prefect").rglob("*.db*") if path.is_file()]
    assert receipt.erasure_id.encode() in b"".join(path.read_bytes() for path in prefect)
    assert _person(platform).user_key.encode() not in b"".join(path.read_bytes() for path in prefect)
    log = (platform.settings.logs / "gateway.log").read_text()
    assert log == f"1 odd user {'*' * 32}\n2 another line\n"
    assert "u0000011" in (platform.settings.reports / "data_docs" / "users.html").read_text()


def test_neither_the_source_nor_late_events_bring_an_erased_person_back(platform: Platform) -> None:
    forget(whom(platform, user_id=USER), "ann")

    staged = _ingest()
    assert OTHER in staged["user_id"].to_pylist()
    assert _serve(platform, "late", USER, age=MATURITY * 2) == 0
    assert _serve(platform, "another", OTHER, age=MATURITY * 2) == 1
    collect()
    interactions = platform.lake.read("interactions")
    secret = platform.settings.user_secret()
    platform.histories.replace_all(pa.concat_tables([interactions, _about_the_person(interactions)]), secret=secret)

    assert _places(platform) == []
    assert platform.histories.last(_person(platform).user_key, limit=9).item_ids == ()
    assert platform.histories.last(user_key(OTHER, secret), limit=9).item_ids != ()


def _about_the_person(interactions: pa.Table) -> pa.Table:
    row = interactions.slice(0, 1)
    return row.set_column(row.column_names.index("user_id"), row.schema.field("user_id"), pa.array([USER]))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["survey", "erase_in_lake", "erase_in_files", "scrub", "conclude"])
def test_an_erasure_goes_on_when_it_was_interrupted(
    platform: Platform, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, step, die)
        with pytest.raises(Killed):
            forget(whom(platform, user_id=USER), "ann")
    assert _person(platform).user_key not in platform.histories.some_users(100)
    (begun,) = platform.erasures.receipts()
    assert begun.completed_at is None

    receipt = forget(whom(platform, user_id=USER), "bob")

    assert _places(platform) == []
    assert (receipt.by, receipt.completed_at is not None) == ("ann", True)
    assert receipt.rows["lake.users"] == receipt.rows["database.requests"] == 1
    assert platform.erasures.receipts() == [receipt]

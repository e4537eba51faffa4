"""Accounts that push an item are found, held back, left out of what is trained next, let go, and can be erased."""

import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows import accounts
from flows.accounts import hold, let_go
from flows.collect import MATURITY, collect
from flows.forget import forget, whom
from flows.lifecycle import Data, daily, lifecycle
from flows.quarantine import Choice, chosen, release
from flows.references import Traffic
from flows.wiring import Platform, connect
from infra.audit_log import AuditLog
from infra.events import Outcome, ServedRequest, user_key
from infra.held_accounts import label_of
from infra.settings import Settings
from recmodels.assignment import Arm
from recmodels.bundle import load_bundle
from recmodels.data import schema
from recmodels.errors import DataError, StoreError
from recmodels.presets import item_knn
from tests.flows.attacked import FAKE, FAKES, attacked, attacked_lake, fake_rows, look, people_rows, source_file
from tests.flows.commands import Terminal

ROWS = FAKES * 70
ONE, TWO = f"{FAKE}-0", f"{FAKE}-1"


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("EVERFEED_HOME", f"{tmp_path}/home")
    return attacked_lake(Settings())


@pytest.fixture
def arrived(home: Settings) -> Platform:
    """The same home, over a Prefect server, with the source among its files."""
    world = attacked(home)
    world.arrive()
    return world.platform


def _hold(platform: Platform) -> accounts.Held:
    return hold(platform, look(platform).chosen(), by="ann", why="fakes", now=datetime.now(UTC))


def _let_go(platform: Platform, *names: str) -> int:
    secret = platform.settings.user_secret()
    held = [platform.held_accounts.find(name, secret=secret) for name in names]
    return sum(one.stored for one in let_go(platform, held, by="bob", why="a club", now=datetime.now(UTC)))


def test_the_detector_names_the_fakes_and_holding_them_back_undoes_the_attack(home: Settings) -> None:
    world = attacked(home)
    pushed = world.exposure(world.arrive())
    found = look(world.platform).chosen()
    assert {one.user_id for one in found} == {f"{FAKE}-{n}" for n in range(FAKES)}
    assert {(one.item_id, one.on_item, one.events) for one in found} == {(world.target, 50, 70)}
    assert found[0].reason.startswith("burst on one item: 50 events in a day, ")

    done = _hold(world.platform)

    assert (done.accounts, done.rows, [f"{day}" for day in done.days]) == (FAKES, ROWS, ["2024-01-07"])
    assert look(world.platform).chosen() == ()
    snapshot = world.arrive()  # the source brings them every day
    assert (snapshot.interactions, fake_rows(world.platform)) == (people_rows(world), 0)
    assert world.platform.lake.read("quarantine").num_rows == ROWS  # once, however often they are brought
    after = world.exposure(snapshot)
    even = 10 / 150
    assert pushed > 5 * even
    assert after <= 2 * even

    assert _let_go(world.platform, *(one.label for one in found)) == ROWS
    snapshot = world.arrive()
    assert (snapshot.interactions, fake_rows(world.platform)) == (people_rows(world) + ROWS, ROWS)
    assert world.exposure(snapshot) == pushed


def test_one_account_is_let_go_by_its_id_and_held_back_again(platform: Platform) -> None:
    _hold(platform)
    assert _let_go(platform, ONE) == 70
    assert (fake_rows(platform), chosen(platform, Choice()).num_rows) == (70, ROWS - 70)
    assert _let_go(platform, label_of(_key(platform, TWO))) == 70
    with pytest.raises(StoreError, match="no account is held back by the name that was given") as refused:
        _let_go(platform, ONE)
    assert ONE not in str(refused.value)
    lone = look(platform).chosen(with_lone=True)
    assert {one.user_id for one in lone} == {ONE, TWO}  # two are no swarm
    assert look(platform).chosen() == ()

    hold(platform, lone, by="ann", why="again", now=datetime.now(UTC))

    assert (fake_rows(platform), chosen(platform, Choice()).num_rows) == (0, ROWS)
    assert _let_go(platform, ONE) == 70


def test_a_release_of_rows_leaves_accounts_that_are_held_back_alone(platform: Platform) -> None:
    _hold(platform)
    with pytest.raises(DataError, match=f"{ROWS} of the {ROWS} chosen rows are of accounts that are held back"):
        release(platform, Choice(), corrections={}, by="bob", why="", now=datetime.now(UTC))
    assert fake_rows(platform) == 0


@pytest.mark.parametrize("step", ["keep_back", "take_away"])
def test_holding_back_goes_on_when_it_was_interrupted(
    platform: Platform, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(accounts, step, die)
        with pytest.raises(Killed):
            _hold(platform)
    assert fake_rows(platform) == ROWS

    assert _hold(platform).accounts == 0

    assert (fake_rows(platform), chosen(platform, Choice()).num_rows) == (0, ROWS)
    assert _let_go(platform, ONE) == 70


@pytest.mark.slow
def test_the_scheduled_lifecycle_trains_without_them_and_the_source_brings_nothing_back(
    home: Settings, tmp_path: Path
) -> None:
    path, target = source_file(tmp_path)
    platform, data = connect(home), Data(source="table", path=path)
    before = lifecycle(data, [item_knn()], Traffic.LIVE)
    _hold(platform)
    after = daily(None, Traffic.LIVE)
    again = lifecycle(data, [item_knn()], Traffic.LIVE)

    assert before.snapshot.interactions == after.snapshot.interactions + ROWS
    assert before.snapshot.users == after.snapshot.users + FAKES
    counted = [_count(platform, one.candidates[0].digest, target) for one in (before, after)]
    assert counted[0] == counted[1] + 3 * FAKES  # 50 events each, of which data.maximum_repeats are learned from
    assert again.snapshot.fingerprint == after.snapshot.fingerprint
    assert again.candidates[0].digest == after.candidates[0].digest
    assert platform.lake.read("quarantine").num_rows == ROWS


def _count(platform: Platform, digest: str, item: str) -> int:
    bundle = load_bundle(platform.settings.bundles, digest)
    return int(bundle.item_counts[bundle.vocabulary.encode([item])[0]])


@pytest.mark.slow
def test_what_a_held_account_does_later_does_not_come_in(arrived: Platform) -> None:
    _hold(arrived)
    for number, user in enumerate((ONE, "u000002")):
        _serve(arrived, f"q{number}", user)
    before = arrived.lake.read("interactions").num_rows
    collect()
    assert (arrived.lake.read("interactions").num_rows, fake_rows(arrived)) == (before + 2, 0)
    assert _let_go(arrived, ONE) == 70 + 2


@pytest.mark.slow
def test_nothing_is_left_of_a_held_account_that_is_erased(arrived: Platform) -> None:
    _hold(arrived)
    key = _key(arrived, ONE)
    assert arrived.erasures.count(key) == {"held_accounts": 1}

    receipt = forget(whom(arrived, user_id=ONE), "ann")

    assert (receipt.rows["database.held_accounts"], receipt.rows["lake.quarantine"]) == (1, 70)
    assert len(arrived.held_accounts.accounts()) == FAKES - 1
    names = re.compile(key.encode() + rb"|" + ONE.encode() + rb"(?![0-9])")
    root = arrived.settings.root
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path for path in files if names.search(path.read_bytes())] == []
    texts = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in root.rglob("*.parquet")]
    assert [text for text in texts if names.search(text.encode())] == []
    assert _let_go(arrived, TWO) == 70


def test_the_command_lists_asks_holds_back_and_lets_go(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = look(platform).suspects[0].item_id
    everfeed = Terminal(capsys, monkeypatch)
    listed = everfeed("quarantine", "accounts")
    assert listed.code == 0, listed.err
    label = label_of(_key(platform, ONE))
    assert f"{label}: 50 of its 70 events on {target}, from 2024-01-07: burst on one item: 50" in listed.err
    assert f"{FAKES} are suspect" in listed.err
    assert FAKE not in listed.err
    assert f"{label} ({ONE})" in everfeed("quarantine", "accounts", "--show-ids").err

    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    assert everfeed("quarantine", "accounts", "--apply").code == 1
    assert everfeed("quarantine", "accounts", "--item", "another", "--apply", "--yes", "--json").code == 0
    assert fake_rows(platform) == ROWS

    done = everfeed("quarantine", "accounts", "--apply", "--yes", "--retrain", "--json")
    (asked,) = everfeed("retrains", "list", "--json").document
    assert asked["reason"].startswith(f"{FAKES} accounts were held back or let go")
    assert f"accounts-{label}" in asked["incident_ids"]
    assert (done.document["applied"]["rows"], len(done.document["held"])) == (ROWS, FAKES)
    released = everfeed("quarantine", "accounts", "release", label[:9], "--because", "a club", "--yes", "--json")
    assert released.document == {"released": [label], "stored": 70, "refused": 0}
    refused = everfeed("quarantine", "accounts", "release", ONE, "--because", "", "--yes")
    assert refused.code == 2
    assert "no account is held back by the name" in refused.err

    records = AuditLog(connect(platform.settings).database).recent()
    assert [(one.action, one.subject, one.outcome) for one in records[::-1]] == [
        ("quarantine accounts", f"{FAKES} accounts", "done"),
        ("quarantine accounts release", label, "done"),
    ]
    assert records[0].words == "a club: 1 accounts let go, 70 rows released"
    written = json.dumps([str(one) for one in records]) + listed.err + done.out + done.err + released.out + refused.err
    assert FAKE not in written
    assert _key(platform, ONE) not in written


def _key(platform: Platform, user_id: str) -> str:
    return user_key(user_id, platform.settings.user_secret())


def _serve(platform: Platform, request_id: str, user: str) -> None:
    moment = datetime.now(UTC) - MATURITY * 2
    items = ("v000001", "v000002")
    request = ServedRequest(
        request_id=request_id,
        timestamp=moment,
        user_key=_key(platform, user),
        surface="video",
        model_version="1",
        arm=Arm.REST,
        item_ids=items,
        scores=(2.0, 1.0),
        propensities=(1.0, 1.0),
        num_requested=2,
        latency_seconds=0.01,
        user_id=user,
    )
    platform.events.append_requests([request])
    event = Outcome(f"{request_id}-e", request_id, items[0], schema.CLICKED, 1.0, moment)
    platform.events.append_outcomes([event])

"""`everfeed canary`: what a person sees of rollouts, and what a person decides."""

import getpass
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.wiring import Platform, connect
from infra.rollouts import ModelReference, Plan, RecordedVerdict, Rollout
from infra.settings import Settings
from monitoring.canary import ShadowConfig
from recmodels.assignment import Arm
from tests.flows.commands import Terminal, choose_free_ports, in_a_process
from tests.flows.rolling import CHALLENGER, CHAMPION, CONFIG, traffic, unseen

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def platform(settings: Settings) -> Platform:
    """A home in which version 1 serves."""
    home = connect(settings)
    home.rollouts.set_bootstrap_champion(ModelReference(CHAMPION, 1), now=BEGAN, by="release", reason="bootstrap")
    return home


def _start(platform: Platform, *, is_shadow: bool = False, name: str = "ease-1") -> Rollout:
    now = datetime.now(UTC)
    plan = Plan(
        name,
        ModelReference(CHALLENGER, 2),
        steps=(0.05, 0.5),
        config=CONFIG.model_copy(update={"shadow": ShadowConfig(), "steps": (0.05, 0.5)}).model_dump(mode="json"),
        cause="lifecycle",
        is_shadow=is_shadow,
        deadline_at=now + timedelta(hours=1),
    )
    return platform.rollouts.start(plan, now=now, by="canary controller")


def _verdict(rule: str) -> RecordedVerdict:
    return RecordedVerdict(
        at=datetime.now(UTC),
        step=0,
        action="continue",
        rule=rule,
        words=f"Continue by rule {rule}: no rule has fired.",
        users_canary=1282,
        users_control=1218,
        estimate=0.0705,
        lower=0.0409,
        upper=0.1009,
        e_values={"slow": 12.5, "sample_ratio": 0.01},
    )


def test_status_says_so_when_there_is_nothing_yet(everfeed: Terminal) -> None:
    ended = everfeed("canary", "status", "--json")
    assert ended.code == 0
    assert ended.document == {"at": ended.document["at"], "champion": None, "rollout": None, "last": None}
    assert "no rollout was ever started" in everfeed("canary", "status").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch",),
        ("promote", "--reason", "r", "--yes"),
        ("abort", "--reason", "r", "--yes"),
        ("hold", "--reason", "r"),
        ("resume", "--reason", "r"),
        ("advance", "--reason", "r", "--yes"),
        ("explain",),
    ],
)
def test_a_command_says_what_to_do_when_no_rollout_was_ever_started(
    everfeed: Terminal, arguments: tuple[str, ...]
) -> None:
    ended = everfeed("canary", *arguments)
    assert ended.code == 2
    assert "no rollout was ever started. `everfeed run` starts one." in ended.err


def test_status_shows_users_estimate_and_what_would_fire_next(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    traffic(platform, arm=Arm.CANARY, users=300, clicks_of_4=1)
    traffic(platform, arm=Arm.CONTROL, users=280, clicks_of_4=1)
    traffic(platform, arm=Arm.CANARY, users=3, clicks_of_4=0, prefix="slow", latency_seconds=0.9)
    found = everfeed("canary", "status", "--json").document["rollout"]
    assert (found["id"], found["state"], found["share"], found["step"]) == (rollout.rollout_id, "running", 0.05, 0)
    assert found["users"] == {"canary": 303, "control": 280}
    assert (found["verdict"]["users_canary"], found["verdict"]["users_control"]) == (303, 280)
    assert found["verdict"]["rule"] == "step_complete"
    assert found["looks"] == 0
    limits = {limit["rule"]: limit for limit in found["limits"]}
    assert limits["guardrail:slow"]["limit"] == pytest.approx(200)
    assert limits["guardrail:slow"]["value"] > limits["guardrail:error"]["value"]
    assert found["next_rule"]["rule"] == "guardrail:slow"
    page = everfeed("canary", "status").err
    assert "step 1 of 2" in page
    assert "users: 303 canary, 280 control" in page
    assert "Nearest to ending it: guardrail:slow" in page
    assert platform.rollouts.verdicts(rollout.rollout_id) == []  # looking decides nothing


def test_status_shows_the_shadow_stage_as_it_is(everfeed: Terminal, platform: Platform) -> None:
    _start(platform, is_shadow=True)
    unseen(platform, requests=7, overlap=0.25)
    found = everfeed("canary", "status", "--json").document["rollout"]
    assert (found["state"], found["share"], found["shadow"]["requests"]) == ("shadow", 0.0, 7)
    assert found["verdict"]["rule"] == "shadow_too_few_requests"
    assert "7 requests answered unseen, overlap 25.0%" in everfeed("canary", "status").err


def test_status_tells_how_the_last_one_ended_when_none_is_active(everfeed: Terminal, platform: Platform) -> None:
    _start(platform)
    everfeed("canary", "abort", "--reason", "clicks fell", "--yes")
    last = everfeed("canary", "status", "--json").document["last"]
    assert last["ended_by"]["reason"] == "clicks fell"
    assert "the last one, ease-1, was rolled back" in everfeed("canary", "status").err


def test_a_person_promotes_with_a_reason_and_a_name(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    platform.rollouts.record_verdict(rollout.rollout_id, _verdict("undecided"), fencing=rollout.fencing)
    ended = everfeed("canary", "promote", "--reason", "seen enough", "--yes", "--json")
    said = {"rollout": "ease-1", "champion": 2, "is_undone": False, "words": "Version 2 is champion."}
    assert (ended.code, ended.document) == (0, said)
    assert "Continue by rule undecided" in ended.err
    champion = platform.rollouts.champion()
    assert champion is not None
    assert (champion.version, champion.by, champion.reason) == (2, getpass.getuser(), "seen enough")
    (kept,) = everfeed("audit-log", "--json").document
    assert (kept["actor"], kept["action"], kept["subject"]) == (f"cli:{getpass.getuser()}", "canary promote", "ease-1")


def test_abort_beats_a_promotion_that_was_just_made(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    signed = {"now": datetime.now(UTC), "by": "ana", "reason": "in a hurry"}
    platform.rollouts.promote(rollout.rollout_id, fencing=rollout.fencing, **signed)
    undone = everfeed("canary", "abort", "--reason", "too much of a hurry", "--yes", "--json")
    assert (undone.code, undone.document["champion"]) == (0, 1)
    assert "ana had promoted it at" in undone.err
    assert [champion.version for champion in platform.rollouts.history()] == [1, 2, 1]


def test_an_older_promotion_is_aborted_by_its_id_alone(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    signed = {"now": datetime.now(UTC) - timedelta(minutes=2), "by": "ana", "reason": "seen enough"}
    platform.rollouts.promote(rollout.rollout_id, fencing=rollout.fencing, **signed)
    nothing = everfeed("canary", "abort", "--reason", "too much of a hurry", "--yes")
    assert nothing.code == 2
    assert "`everfeed canary abort ease-1` undoes the newest promotion" in nothing.err
    undone = everfeed("canary", "abort", "ease-1", "--reason", "too much of a hurry", "--yes", "--json")
    assert (undone.code, undone.document["champion"]) == (0, 1)


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_nothing_happens_when_a_person_does_not_agree(
    everfeed: Terminal, platform: Platform, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    rollout = _start(platform)
    for deed in ("promote", "abort", "advance"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        ended = everfeed("canary", deed, "--reason", "perhaps")
        assert ended.code == 1
    assert platform.rollouts.rollout(rollout.rollout_id) == rollout


def test_a_reason_is_required(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    assert "--reason" in everfeed("canary", "abort", "--yes").err
    ended = everfeed("canary", "abort", "--reason", "  ", "--yes")
    assert ended.code == 2
    assert "say why in a few words" in ended.err
    assert platform.rollouts.rollout(rollout.rollout_id).is_active


def test_a_decision_is_refused_when_somebody_else_came_first(
    everfeed: Terminal, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = _start(platform)

    def _ask(*_: object, **__: object) -> bool:
        """Let another controller act while the person thinks."""
        platform.rollouts.take_over(rollout.rollout_id, now=datetime.now(UTC), by="another controller")
        return True

    monkeypatch.setattr("typer.confirm", _ask)
    ended = everfeed("canary", "promote", "--reason", "seen enough")
    assert ended.code == 2
    assert "another controller changed it" in ended.err
    assert everfeed("canary", "abort", "--reason", "enough").code == 0


def test_a_person_holds_resumes_and_advances(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform, is_shadow=True)
    assert everfeed("canary", "hold", "--reason", "a holiday", "--json").document["state"] == "held"
    assert everfeed("canary", "resume", "--reason", "back", "--json").document["state"] == "shadow"
    assert platform.rollouts.rollout(rollout.rollout_id).deadline_at == rollout.deadline_at
    grown = everfeed("canary", "advance", "--reason", "another taste on purpose", "--yes", "--json").document
    assert (grown["state"], grown["share"]) == ("running", 0.05)
    after = platform.rollouts.rollout(rollout.rollout_id)
    assert after.deadline_at is not None
    assert (after.deadline_at - after.step_started_at).total_seconds() == pytest.approx(CONFIG.deadline_seconds, abs=1)
    everfeed("canary", "advance", "--reason", "on", "--yes")
    last = everfeed("canary", "advance", "--reason", "on", "--yes")
    assert last.code == 2
    assert "at its last step" in last.err


def test_an_unknown_rollout_is_answered_with_the_known_ones(everfeed: Terminal, platform: Platform) -> None:
    _start(platform)
    for arguments in (("explain", "eas"), ("abort", "eas", "--reason", "r", "--yes"), ("watch", "eas")):
        ended = everfeed("canary", *arguments)
        assert ended.code == 2
        assert "there is no rollout 'eas'. The newest: ease-1." in ended.err


def test_explain_shows_every_verdict_with_its_numbers(everfeed: Terminal, platform: Platform) -> None:
    rollout = _start(platform)
    for rule in ("too_few_users", "undecided"):
        platform.rollouts.record_verdict(rollout.rollout_id, _verdict(rule), fencing=rollout.fencing)
    document = everfeed("canary", "explain", "--json").document
    assert [verdict["rule"] for verdict in document["verdicts"]] == ["too_few_users", "undecided"]
    assert document["verdicts"][0]["e_values"] == {"slow": 12.5, "sample_ratio": 0.01}
    page = everfeed("canary", "explain", "ease-1").err
    assert "n 1,282 canary, 1,218 control; estimate +0.0705 [+0.0409, +0.1009]" in page
    assert "e-values: sample_ratio 0.01, slow 12; rule undecided" in page


def test_explain_takes_the_newest_when_none_is_active(everfeed: Terminal, platform: Platform) -> None:
    _start(platform)
    everfeed("canary", "abort", "--reason", "clicks fell", "--yes")
    assert everfeed("canary", "explain", "--json").document["rollout"]["state"] == "rolled_back"


def test_who_was_champion_is_known_at_every_moment(everfeed: Terminal, platform: Platform) -> None:
    _start(platform)
    between = datetime.now(UTC)
    everfeed("canary", "promote", "--reason", "seen enough", "--yes")
    then = everfeed("canary", "champion", "--at", between.isoformat(), "--json").document
    assert then["champion"]["version"] == 1
    assert then["rollout"] == {"id": "ease-1", "state": "running", "share": 0.05}
    assert everfeed("canary", "champion", "--json").document["champion"]["version"] == 2
    assert everfeed("canary", "history", "--at", "2026-03-01T12:00", "--json").document["champion"]["version"] == 1
    assert "version 1 was champion" in everfeed("canary", "champion", "--at", "2026-03-01T13:00+01:00").err
    before = everfeed("canary", "champion", "--at", "2026-03-01T11:59:59")
    assert before.code == 2
    assert "nobody was champion" in before.err
    assert "The first champion serves since 2026-03-01T12:00" in before.err
    assert "'yesterday' is no time" in everfeed("canary", "champion", "--at", "yesterday").err


def test_history_lists_champions_and_rollouts_newest_first(everfeed: Terminal, platform: Platform) -> None:
    _start(platform)
    everfeed("canary", "abort", "--reason", "clicks fell", "--yes")
    _start(platform, name="ease-2")
    everfeed("canary", "promote", "--reason", "better now", "--yes")
    document = everfeed("canary", "history", "--json").document
    assert [champion["version"] for champion in document["champions"]] == [2, 1]
    assert [(r["id"], r["state"], r["ended_by"]["reason"]) for r in document["rollouts"]] == [
        ("ease-2", "promoted", "better now"),
        ("ease-1", "rolled_back", "clicks fell"),
    ]
    page = everfeed("canary", "history").err
    assert "clicks fell" in page
    assert "better now" in page


@pytest.mark.parametrize(("deed", "code"), [("promote", 0), ("abort", 3)])
def test_watch_ends_with_the_rollout_and_its_exit_code_tells_how(
    everfeed: Terminal, platform: Platform, monkeypatch: pytest.MonkeyPatch, deed: str, code: int
) -> None:
    rollout = _start(platform)

    def _decide(_: float) -> None:
        """Let a person decide while the watcher sleeps."""
        end = platform.rollouts.promote if deed == "promote" else platform.rollouts.roll_back
        end(rollout.rollout_id, fencing=rollout.fencing, now=datetime.now(UTC), by="anna", reason="because")

    monkeypatch.setattr("flows.watching.sleep", _decide)
    ended = everfeed("canary", "watch", "--json")
    assert ended.code == code
    assert ended.document["rollout"] == "ease-1"
    assert "ease-1: running at 5%." in ended.err
    assert "by anna: because" in ended.err
    assert everfeed("canary", "watch", "ease-1").code == code  # one that is over is told at once


def test_watch_leaves_the_rollout_alone_when_it_is_interrupted(
    everfeed: Terminal, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = _start(platform)

    def _interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.watching.sleep", _interrupt)
    ended = everfeed("canary", "watch")
    assert ended.code == 130
    assert "the rollout goes on" in ended.err
    assert platform.rollouts.rollout(rollout.rollout_id) == rollout


@pytest.mark.parametrize(
    "command", ["status", "watch", "promote", "abort", "hold", "resume", "advance", "history", "champion", "explain"]
)
def test_every_command_has_help_and_takes_json(everfeed: Terminal, command: str) -> None:
    ended = everfeed("canary", command, "--help")
    assert ended.code == 0
    assert "--json" in ended.out


@pytest.mark.slow
def test_abort_wins_and_both_are_told_when_two_processes_decide_at_once(settings: Settings, platform: Platform) -> None:
    for number in range(2):
        name = f"round-{number}"
        _start(platform, name=name)
        typed = [("canary", verb, name, "--reason", f"to {verb}", "--yes") for verb in ("abort", "promote")]
        if number:
            typed.reverse()
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(lambda words: in_a_process(settings, words), typed))
        (aborted,) = (one for one, words in zip(ended, typed, strict=True) if "abort" in words)
        (promoted,) = (one for one, words in zip(ended, typed, strict=True) if "promote" in words)
        assert platform.rollouts.rollout(name).state == "rolled_back"
        assert aborted.code == 0
        said = " ".join(promoted.err.split())
        if promoted.code == 3:
            assert "aborted at the same moment (to abort)" in said
            assert "had promoted it at" in " ".join(aborted.err.split())
        else:
            assert promoted.code == 2
            assert "to rolled_back at" in said or "it is rolled_back" in said
        kept = {(one.action, one.outcome) for one in platform.audit_log.recent() if one.subject == name}
        assert {("canary abort", "done"), ("canary promote", "refused")} <= kept
    champion = platform.rollouts.champion()
    assert champion is not None
    assert champion.version == 1

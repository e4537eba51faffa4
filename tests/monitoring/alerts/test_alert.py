import json
from datetime import UTC, datetime

from monitoring.alerts import Alert, alert_of
from monitoring.incidents import IncidentConfig, acknowledge, advance, incident_document, incident_from
from monitoring.result import CheckResult, Finding, Status

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def transitions(*results: CheckResult, model: str = ""):
    opened = advance((), results, model=model, now=NOW, config=IncidentConfig())
    calm = [CheckResult(one.figure, one.family, Status.OK, slice=one.slice) for one in results]
    closed = advance(opened.incidents, calm, model=model, now=NOW, config=IncidentConfig())
    return (*opened.transitions, *closed.transitions)


def drift(figure: str, size: float | None, family: str = "data", part: str = "") -> CheckResult:
    return CheckResult(figure, family, Status.DRIFT, size=size, since=NOW, slice=part, message=f"{figure} moved a lot.")


def test_alert_names_the_largest_figure_when_an_incident_opens():
    opened, _ = transitions(drift("a", 3.0), drift("b", -7.25, part="surface=live"), model="sasrec")
    alert = alert_of(opened, link="https://console/drift")
    assert alert == Alert(
        key=opened.key,
        incident_id=opened.incident.incident_id,
        transition="opened",
        title="Opened: data drift of sasrec: b[surface=live] -7.2 spreads",
        text="b moved a lot.\na moved a lot.",
        severity="critical",
        figure="b[surface=live]",
        size=-7.25,
        since=NOW,
        created_at=NOW,
        model="sasrec",
        link="https://console/drift",
        subject="data drift of sasrec",
        slice="surface=live",
        cause="the data",
        action="Compare the last ingest with the one before.",
    )


def test_alert_is_information_when_an_incident_resolves():
    opened, resolved = transitions(drift("a", 3.0, family="population"))
    assert alert_of(opened).severity == "warning"
    alert = alert_of(resolved)
    assert (alert.transition, alert.severity, alert.title) == ("resolved", "info", "Resolved: population drift")
    assert alert.key != opened.key
    assert alert.incident_id == opened.incident.incident_id


def test_text_is_cut_when_many_figures_drift():
    opened, _ = transitions(*(drift(f"f{n}", 10.0 - n) for n in range(7)))
    assert alert_of(opened).text.splitlines()[-1] == "and 2 more figures."


def test_title_has_no_size_when_the_schema_changed():
    opened, _ = transitions(drift("schema", None))
    assert alert_of(opened).title == "Opened: data drift: schema"


def test_document_is_json_when_it_holds_times():
    opened, _ = transitions(drift("a", 3.0))
    document = json.loads(json.dumps(alert_of(opened).document()))
    assert document["since"] == "2026-11-21T08:30:00+00:00"
    assert document["size"] == 3.0


def test_cause_and_action_are_those_of_the_finding_when_there_is_one():
    seen = "nulls: 3.00%; the producer wrote 'Likely cause: rain. Proposed: wait.' into its log."
    finding = Finding(seen, "the data: a new producer", "Fix it. Then wait.")
    result = CheckResult("nulls", "data", Status.DRIFT, 9.0, message=finding.sentences(), finding=finding)
    opened, _ = transitions(result)
    alert = alert_of(opened)
    assert (alert.text, alert.cause, alert.action) == (seen, "the data: a new producer", "Fix it. Then wait.")
    stored = incident_from(json.loads(json.dumps(incident_document(opened.incident))))
    assert stored.results == (result,)


def test_incident_is_read_when_it_was_stored_without_findings():
    words = "nulls: 3.00%. Likely cause: the data: a new producer. Proposed: Fix it."
    opened, _ = transitions(CheckResult("nulls", "data", Status.DRIFT, size=9.0, since=NOW, message=words))
    document = json.loads(json.dumps(incident_document(opened.incident)))
    for result in document["results"]:
        del result["finding"]
    assert incident_from(document) == opened.incident


def test_cause_and_action_are_those_of_the_message_when_an_earlier_version_stored_it():
    words = "nulls: 3.00%, expected 1.00%. Likely cause: the data: a new producer. Proposed: Fix it. Then wait."
    opened, resolved = transitions(CheckResult("nulls", "data", Status.DRIFT, size=9.0, since=NOW, message=words))
    alert = alert_of(opened)
    assert (alert.text, alert.cause) == ("nulls: 3.00%, expected 1.00%.", "the data: a new producer")
    assert alert.action == "Fix it. Then wait."
    over = alert_of(resolved)
    assert (over.cause, over.action, over.slice, over.subject) == ("", "", "", alert.subject)
    assert over.since == NOW
    assert "open since 2026-11-21 08:30 UTC" in over.text


def test_acknowledgement_names_who_takes_care_and_what_they_say():
    incident = advance((), [drift("a", 3.0)], model="", now=NOW, config=IncidentConfig()).incidents[0]
    (transition,) = acknowledge(incident, by="ada", note="on it", now=NOW).transitions
    alert = alert_of(transition)
    assert (alert.transition, alert.severity) == ("acknowledged", "info")
    assert alert.title == "Acknowledged: data drift, by ada"
    assert alert.text.splitlines() == ["ada takes care: on it", "a moved a lot."]


def test_raw_user_ids_are_left_out_wherever_a_figure_names_one():
    moved = CheckResult(
        "clicks", "data", Status.DRIFT, size=4.0, slice="user_id=u-4711", message="clicks of userid = u-4711, too many."
    )
    opened, _ = transitions(moved)
    document = json.dumps(alert_of(opened).document())
    assert "4711" not in document
    assert "left out" in document
    kept = CheckResult("clicks", "data", Status.DRIFT, slice="user=new", message="clicks of user=new fell.")
    assert alert_of(transitions(kept)[0]).slice == "user=new"

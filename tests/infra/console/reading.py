"""What tests of the control room do with its pages: read them, fill in a form, and make something to show."""

import time
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import httpx
from pydantic import JsonValue

from infra.outbox import Outbox
from infra.outbox_records import AlertRecord, IncidentRecord
from infra.rollouts import RecordedVerdict
from monitoring.incident import Incident, IncidentState, incident_document
from monitoring.result import CheckResult, Finding, Status
from tests.infra.gateway_home import NOW, Home

HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.html = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]

    def fields(self) -> dict[str, str]:
        """Return the values of the fields of the main form: those beside the sign-out's."""
        names = [(attrs.get("name") or "", attrs.get("value") or "") for tag, attrs in self.tags if tag == "input"]
        return {name: value for name, value in names if name}


def load(client: httpx.Client, path: str = "/", *, status: int = 200, **query: str) -> Page:
    response = client.get(path, params=query)
    assert response.status_code == status, response.text
    return Page(response.text)


def load_settled(client: httpx.Client) -> Page:
    """Load the first page once everybody who is asked behind it has answered, or failed to."""
    deadline = time.monotonic() + 20
    while "being" in (page := load(client)).text and time.monotonic() < deadline:
        time.sleep(0.05)
    return page


def agree(client: httpx.Client, path: str, **answers: str) -> httpx.Response:
    """Open a question, fill it in, and return the answer to the form."""
    asked = client.get(path)
    assert asked.status_code == 200, asked.text
    action = [value for value in Page(asked.text).attributes("form", "action") if value.startswith("/act/")]
    return client.post(action[0], data={**Page(asked.text).fields(), **answers})


def judge(home: Home, count: int, *, words: str = "nothing fired") -> None:
    rollout = home.rollouts.active()
    assert rollout is not None
    for look in range(1, count + 1):
        lower, upper = 0.01 - 0.2 / look, 0.01 + 0.2 / look
        verdict = RecordedVerdict(
            at=NOW + timedelta(minutes=look),
            step=0,
            action="continue",
            rule="none",
            words=words,
            users_canary=100 * look,
            users_control=100 * look,
            estimate=0.01,
            lower=lower,
            upper=upper,
            relative=0.05,
            e_values={"error": 4.0, "sample_ratio": 1.0},
        )
        home.rollouts.record_verdict("rollout-1", verdict, fencing=rollout.fencing)


def open_incident(home: Home, seen: str = "rating_mean moved", *, incident_id: str = "incident-1") -> None:
    """Record an open incident as the monitor does, with an alert that waits for a channel."""
    now = datetime.now(UTC)
    finding = Finding(seen, "a changed unit", "Compare the last ingest with the one before.")
    result = CheckResult("rating_mean", "data", Status.DRIFT, 4.0, 3.0, 4.2, now, message=seen, finding=finding)
    incident = Incident(
        incident_id, "", "data", IncidentState.OPEN, (result,), now, now, told_figures=frozenset({"rating_mean"})
    )
    document: dict[str, JsonValue] = incident_document(incident)  # type: ignore[assignment]
    record = IncidentRecord(incident_id, "", "data", "open", now, now, document)
    alert = AlertRecord(f"alert-{incident_id}", incident_id, {})
    Outbox(home.database).record([record], [alert], channels=["webhook"], now=now)

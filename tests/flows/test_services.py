"""The whole stack of one machine as a person starts it, sees it and stops it."""

import socket
from pathlib import Path

import httpx
import psutil
import pytest

from flows.services import background_services, late_services, stack_services
from infra.processes import read_record
from infra.settings import Settings
from infra.supervisor import running
from tests.flows.commands import choose_free_ports, in_a_process

NAMES = ["prefect", "mlflow", "gateway", "console", "schedules", "sender"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home with ports of its own."""
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


def test_schedules_start_last_when_they_are_wanted(settings: Settings) -> None:
    assert [service.name for service in stack_services(settings)] == NAMES
    assert [service.name for service in stack_services(settings, with_schedules=False)] == NAMES[:-2]
    assert [service.port for service in background_services()] == [0, 0]


def test_every_service_listens_where_the_settings_say_when_it_has_a_port(settings: Settings) -> None:
    for service in stack_services(settings, with_schedules=False):
        assert service.url == f"http://{settings.host}:{service.port}"
        assert getattr(settings, f"{service.name}_port") == service.port
        assert service.ready_path.startswith("/")


def test_the_ui_of_the_drift_reports_starts_late_when_it_is_wanted(settings: Settings) -> None:
    assert late_services(settings) == ()
    (service,) = late_services(settings.model_copy(update={"evidently": True}))
    assert (service.name, service.port) == ("evidently", settings.evidently_port)
    assert service.name not in NAMES
    assert str(settings.drift_workspace) in service.command


@pytest.mark.slow
def test_the_ui_of_the_drift_reports_answers_without_the_network_when_its_workspace_is_empty(
    settings: Settings,
) -> None:
    (service,) = late_services(settings.model_copy(update={"evidently": True}))
    with running(settings, (service,)):
        assert httpx.get(f"{service.url}/api/projects", trust_env=False).json() == []
        assert "<html" in httpx.get(service.url, trust_env=False).text


@pytest.mark.slow
def test_stack_goes_up_is_seen_and_goes_down_when_it_is_detached(settings: Settings) -> None:
    started = in_a_process(settings, ("up", "--detach", "--json"))
    try:
        assert started.code == 0, started.err[-3000:]
        seen = in_a_process(settings, ("status", "--json")).document
        assert seen["is_up"]
        assert [service["name"] for service in seen["services"]] == NAMES
        assert all(service["is_ready"] for service in seen["services"])
        urls = {service["name"]: service["url"] for service in seen["services"]}
        assert httpx.get(f"{urls['gateway']}/v1/status").status_code == httpx.codes.OK
        assert "html" in httpx.get(urls["console"]).headers["content-type"]
        assert httpx.get(f"{urls['mlflow']}/health").text == "OK"
        second = in_a_process(settings, ("up", "--detach"))
        assert (second.code, "everfeed down" in second.err) == (2, True)
        pids = [record.pid for record in read_record(settings).services]
        assert all(map(psutil.pid_exists, pids))
    finally:
        stopped = in_a_process(settings, ("down", "--json"))
    assert stopped.document == {"stopped": True}
    assert not any(map(psutil.pid_exists, pids))
    for port in (settings.prefect_port, settings.mlflow_port, settings.gateway_port, settings.console_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, port))
    after = in_a_process(settings, ("status", "--json")).document
    assert (after["is_up"], after["services"]) == (False, [])

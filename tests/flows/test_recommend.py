"""`everfeed recommend`: the running gateway's answer with titles, and words where there is none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.wiring import connect
from infra.serving.app import create_app
from infra.settings import Settings
from tests.flows.commands import Terminal, choose_free_ports
from tests.infra.gateway_home import SECRET, TOKEN, Home, items_table, serve


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home with ports of its own."""
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def gateway(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A gateway over the home, with a champion; the environment names its port."""
    platform = connect(settings)
    home = Home(settings.root, platform.database)
    home.crown()
    app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url:
        monkeypatch.setenv("EVERFEED_GATEWAY_PORT", url.rpartition(":")[2])
        yield home


@contextmanager
def _something_else(body: bytes) -> Iterator[int]:
    """A server of another kind on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_an_unknown_user_gets_popular_items_and_is_told_so_when_the_gateway_answers(
    everfeed: Terminal, gateway: Home
) -> None:
    ended = everfeed("recommend", "nobody", "-k", "3", "--json")
    assert ended.code == 0
    answer = ended.document
    assert answer["unknown_user"] is True
    assert answer["why"] == "no history known, so popular items"
    assert [item["item_id"] for item in answer["items"]] == ["film-00", "film-02", "film-04"]


def test_titles_are_empty_when_the_lake_holds_no_items(everfeed: Terminal, gateway: Home) -> None:
    answer = everfeed("recommend", "nobody", "-k", "2", "--json").document
    assert [item["title"] for item in answer["items"]] == ["", ""]


def test_titles_are_shown_when_the_lake_holds_them(everfeed: Terminal, gateway: Home, settings: Settings) -> None:
    connect(settings).lake.replace("items", items_table())
    ended = everfeed("recommend", "nobody", "-k", "1")
    assert ended.code == 0
    assert "<b>Title</b> of film-00" in ended.err
    assert "nobody: no history known, so popular items" in ended.err
    assert ended.out == ""


def test_markup_in_a_title_is_shown_as_it_is_when_a_title_holds_some(
    everfeed: Terminal, gateway: Home, settings: Settings
) -> None:
    items = items_table()
    place = items.schema.get_field_index("text")
    titles = ["[red]Heat[/red] [/]"] * items.num_rows
    connect(settings).lake.replace("items", items.set_column(place, items.schema.field(place), [titles]))
    assert "[red]Heat[/red] [/]" in everfeed("recommend", "[/nobody]", "-k", "1").err


def test_the_gateways_words_are_shown_when_it_refuses(everfeed: Terminal, gateway: Home) -> None:
    ended = everfeed("recommend", "u" * 201)
    assert ended.code == 2
    assert "body.user" in ended.last_line
    assert "expected" in ended.last_line
    assert ended.out == ""


def test_the_command_to_start_it_is_named_when_the_gateway_is_down(everfeed: Terminal, settings: Settings) -> None:
    ended = everfeed("recommend", "nobody", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert settings.gateway_url in ended.last_line
    assert "Start it with `everfeed up`" in ended.last_line


@pytest.mark.parametrize("body", [b"<h1>It works</h1>", b"[1, 2]", b'{"status": "fine"}'])
def test_another_program_is_not_taken_for_the_gateway_when_it_answers(
    everfeed: Terminal, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    with _something_else(body) as port:
        monkeypatch.setenv("EVERFEED_GATEWAY_PORT", str(port))
        ended = everfeed("recommend", "nobody")
    assert ended.code == 2
    for words in ("is not Everfeed's gateway", str(port), body.decode(), "EVERFEED_GATEWAY_PORT"):
        assert words in ended.last_line


def test_no_proxy_of_the_environment_is_asked_when_the_gateway_is(
    everfeed: Terminal, gateway: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert everfeed("recommend", "nobody").code == 0

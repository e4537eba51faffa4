import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from flows.control_room import desk
from infra.console.app import create_app
from infra.events import user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.settings import Settings
from tests.infra.console.reading import HOSTILE, Page, judge, load, load_settled, open_incident
from tests.infra.gateway_home import NOW, SECRET, Home
from tests.stopwatch import least_seconds

PAGES = ("/", "/rollouts", "/drift", "/incidents", "/quarantine", "/users", "/audit", "/sign-in")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_an_empty_home_says_what_is_so_and_can_be_walked(client: httpx.Client, path: str) -> None:
    page = load(client, path)

    assert page.attributes("html", "lang") == ["en"]
    assert len(page.attributes("main", "id")) == 1
    assert ("a", {"class": "skip", "href": "#content"}) in page.tags
    headings = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later - before <= 1 for before, later in pairwise(headings))


def test_an_empty_home_names_what_does_not_answer_and_what_to_do(client: httpx.Client) -> None:
    text = load_settled(client).text

    assert "No champion yet" in text
    assert "no interactions yet" in text
    assert "No rollout yet." in text
    assert "No figures yet." in text
    assert "the gateway at http://127.0.0.1:1 does not answer" in text
    assert "Prefect at http://127.0.0.1:1 does not answer" in text
    assert text.count("everfeed up") >= 2


def test_shows_champion_and_challenger_with_their_metrics(home: Home, client: httpx.Client) -> None:
    champion, challenger = home.crown(), home.challenge()

    page = load(client)

    assert champion.digest[:12] in page.text
    assert challenger.digest[:12] in page.text
    assert "ndcg_at_10" in page.text
    assert "0.2500" in page.text
    assert "version 2 running, 50% of users" in page.text


def test_shows_the_canary_with_its_picture_its_rules_and_the_next_one(home: Home, client: httpx.Client) -> None:
    home.crown()
    home.challenge()
    judge(home, 5)

    page = load(client)

    assert "After 1,000 users" in page.text
    assert {"svg", "polygon", "polyline", "title", "desc"} <= {tag for tag, _ in page.tags}
    assert "Nearest to ending it: more errors (26% of the way)" in page.text  # log 4 / log 200
    assert page.attributes("meter", "value")[0] == "0.500"  # (0.05 + 0.05) / (0.05 + 0.15)
    detail = load(client, "/rollouts/rollout-1")
    assert detail.text.count("nothing fired") == 5


def test_says_so_when_a_bundle_is_missing(home: Home, client: httpx.Client) -> None:
    home.crown()
    home.challenge(is_missing=True)

    assert "its bundle is missing" in load(client).text


def test_shows_incidents_and_whether_people_were_told(home: Home, client: httpx.Client) -> None:
    open_incident(home, "rating_mean moved by 4 sigma since Tuesday")

    for path in ("/", "/incidents"):
        text = load(client, path).text
        assert "rating_mean moved by 4 sigma since Tuesday" in text
        assert "webhook: waiting" in text
    assert "1 open incident" in load(client).text
    detail = load(client, "/incidents/incident-1").text
    assert "a changed unit" in detail
    assert "Compare the last ingest with the one before." in detail


def test_shows_who_was_champion_when(home: Home, client: httpx.Client) -> None:
    home.crown()
    home.challenge()
    rollout = home.rollouts.active()
    assert rollout is not None
    later = NOW + timedelta(days=2)
    home.rollouts.promote("rollout-1", fencing=rollout.fencing, now=later, by="ada", reason="it is better")

    text = load(client, "/rollouts").text

    assert "2026-11-03 00:00:00 UTC" in text
    assert "it is better" in text
    assert text.index("version 2") < text.index("version 1")


def test_escapes_everything_it_shows(home: Home, client: httpx.Client) -> None:
    home.crown()
    home.challenge()
    judge(home, 2, words=HOSTILE)
    open_incident(home, HOSTILE)

    for path in ("/", "/rollouts/rollout-1", "/incidents", "/incidents/incident-1"):
        html = client.get(path).text
        assert HOSTILE not in html
        assert HOSTILE in Page(html).text
    html = client.get("/users", params={"user": HOSTILE, "surface": '"><img src=x>'}).text
    assert HOSTILE not in html
    assert "<img" not in html
    assert Page(html).attributes("script", "src") == ["/static/live.js"]


def test_asks_nothing_of_the_outside(home: Home, client: httpx.Client) -> None:
    home.crown()
    for path in PAGES:
        response = client.get(path)
        page = Page(response.text)
        loaded = [
            attrs.get("src") or attrs.get("href")
            for tag, attrs in page.tags
            if tag in {"link", "script", "img", "iframe"}
        ]
        assert loaded == ["/static/console.css", "data:,", "/static/live.js"]
        assert not any("style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in page.tags)
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
    css = client.get("/static/console.css")
    assert "prefers-color-scheme: dark" in css.text
    assert "url(" not in css.text
    assert "http" not in client.get("/static/live.js").text


def test_serves_reports_in_a_sandbox_and_nothing_beside_them(home: Home, client: httpx.Client) -> None:
    folder = home.folder / "reports" / "data_docs"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<p>docs</p>")
    (home.folder / "reports" / "link").symlink_to(home.folder / "everfeed.db")

    report = client.get("/reports/data_docs/index.html")

    assert report.text == "<p>docs</p>"
    assert report.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "connect-src 'none'" in report.headers["content-security-policy"]
    for path in ("../everfeed.db", "%2e%2e/everfeed.db", "..%2feverfeed.db", "link", "/etc/passwd", "none.html"):
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=f"/reports/{path}".encode())
        assert client.send(request).status_code == 404
    page = load(client)
    assert "data docs" in page.text
    assert "/reports/data_docs/index.html" in page.attributes("a", "href")


def test_refuses_foreign_hosts_and_anything_but_reading(client: httpx.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.post("/", content=b"").status_code == 405
    assert client.get("/healthz").json()["is_ok"]
    assert "nothing of the control room's" in load(client, "/nothing", status=404).text


def test_tells_a_browser_that_nothing_changed(home: Home, client: httpx.Client) -> None:
    home.crown()
    client.get("/rollouts")
    tag = client.get("/rollouts").headers["etag"]

    assert client.get("/rollouts", headers={"if-none-match": tag}).status_code in {200, 304}  # a minute may have passed
    home.challenge()
    assert client.get("/rollouts", headers={"if-none-match": tag}).status_code == 200


def test_asks_for_a_token_where_somebody_looks_from_another_machine(home: Home, settings: Settings) -> None:
    app = create_app(settings, home.database, desk(settings, home.database))

    async def ask(client: str, path: str, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as far:
            return await far.get(path)

    answer = asyncio.run(ask("10.0.0.9", "/users?user=ann"))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/users%3Fuser%3Dann"
    assert asyncio.run(ask("10.0.0.9", "/reports/data_docs/index.html")).status_code == 303
    assert asyncio.run(ask("10.0.0.9", "/sign-in")).status_code == 200
    assert asyncio.run(ask("10.0.0.9", "/static/console.css")).status_code == 200
    assert asyncio.run(ask("127.0.0.1", "/audit")).status_code == 200
    assert asyncio.run(ask("127.0.0.1", "/audit", **{"x-forwarded-for": "127.0.0.1"})).status_code == 303


def test_stays_small_and_quick_when_the_judge_looked_a_hundred_times(home: Home, client: httpx.Client) -> None:
    home.crown()
    home.challenge()
    judge(home, 100)
    load(client)

    assert len(client.get("/").content) < 200_000
    seconds = least_seconds(lambda: client.get("/"), below=1.5, clock=time.perf_counter)
    assert seconds < 1.5  # 0.3 s on a quiet machine


def test_links_the_analysis_once_there_is_one(home: Home, client: httpx.Client) -> None:
    address = "/reports/analysis/report.html"
    assert address not in load(client).attributes("a", "href")
    report = home.folder / "reports" / "analysis" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<h1>What people do</h1>")
    assert address in load(client).attributes("a", "href")
    assert client.get(address).text == "<h1>What people do</h1>"


class TestWithGateway:
    @pytest.fixture
    def gateway_port(self, home: Home, request: pytest.FixtureRequest) -> int:
        home.crown()
        home.challenge()
        return int(request.getfixturevalue("gateway").rpartition(":")[2])

    def test_previews_a_user_with_both_lists_and_what_differs(self, home: Home, client: httpx.Client) -> None:
        now = datetime.now(UTC)
        HistoryStore(home.database).append([HistoryEvent(user_key("ann", SECRET), "film-10", now, "video")])

        page = load(client, "/users", user="ann")

        assert "<b>Title</b> of film-11" in page.text  # the champion's first, escaped
        assert "<b>Title</b> of film-29" in page.text  # the challenger's first
        assert "by someone" in page.text
        assert "History of 1 item, newest first: film-10" in page.text
        assert "bucket" in page.text
        assert "items are in both lists" in page.text
        assert "only here" in page.text
        assert "the user consumed film-10" in page.text
        assert "filter seen" in page.text
        assert client.get("/users", params={"user": "ann"}).headers["cache-control"] == "no-store"

    def test_tells_that_a_user_is_unknown(self, client: httpx.Client) -> None:
        text = load(client, "/users", user="nobody").text
        assert text.count("Popular items: unknown user.") == 2
        assert "10 of 10 items are in both lists, 10 of them at the same place." in text

    def test_passes_on_why_the_gateway_refuses(self, client: httpx.Client) -> None:
        assert "body.user is not valid" in load(client, "/users", user="a" * 201).text

    def test_shows_that_the_gateway_is_up(self, client: httpx.Client) -> None:
        text = load_settled(client).text
        assert "Gateway up since" in text
        assert "the gateway at" not in text

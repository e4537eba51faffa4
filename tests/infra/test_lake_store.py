"""The lake in an object store: what differs from a folder, what goes wrong there, and what is said of it."""

import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from infra.garbage import Needs, find, remove
from infra.lake import Lake
from infra.lake_place import LakePlace
from infra.object_store import ObjectStore
from infra.settings import Settings
from recmodels.data import schema
from recmodels.errors import StoreError
from tests.infra.lakes import StoreBed, store_bed
from tests.object_store import ACCESS_KEY, SECRET_KEY, S3Server, server

START = datetime(2026, 1, 30, tzinfo=UTC)
WINDOW = {"start": START, "end": START + timedelta(days=1)}
SECONDS = 30.0
"""A store that cannot be used is told of within so long, on a loaded machine too."""


@pytest.fixture
def bed(s3_server: S3Server, tmp_path: Path) -> StoreBed:
    return store_bed(s3_server, tmp_path)


def _rows(*users: str) -> pa.Table:
    shared = {"item_id": "i", "timestamp": START, "surface": "s", "origin": "event"}
    rows = [{"event_id": f"e-{user}", "user_id": user, **shared} for user in users]
    return pa.Table.from_pylist(rows, schema=schema.INTERACTIONS)


def _users(lake: Lake, version: int | None = None) -> set[str]:
    return set(lake.read("interactions", version=version)["user_id"].to_pylist())


def test_tables_lie_in_the_bucket_and_read_as_in_a_folder(bed: StoreBed) -> None:
    lake = bed.lake()
    assert lake.version("interactions") is None
    lake.write_window("interactions", _rows("anna", "bert"), **WINDOW)
    lake.append("interactions", _rows("carl"), key="once")
    bed.lake().append("interactions", _rows("carl"), key="once")
    assert _users(lake) == {"anna", "bert", "carl"}
    assert _users(lake, 0) == {"anna", "bert"}
    assert lake.table_names() == ["interactions"]
    assert all(uri.startswith(f"{bed.url}/interactions/month=2026-01/") for uri in lake.file_uris("interactions"))
    assert sum(name.endswith(".parquet") for name in bed.content()) == 2


@pytest.mark.slow
def test_an_erasure_spares_what_another_machine_is_about_to_commit(
    bed: StoreBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = bed.lake()
    lake.write_window("interactions", _rows("anna", "bert"), **WINDOW)
    bed.put("interactions/month=2026-01/part-uncommitted.parquet", b"anna's rows of a writer that is not done, or died")
    lake.erase_user("anna", now=START)
    assert bed.files_with(b"anna") == ["interactions/month=2026-01/part-uncommitted.parquet"]
    assert _users(lake) == {"bert"}
    monkeypatch.setattr(LakePlace, "grace", timedelta(0))  # an hour later
    again = lake.erase_user("anna", now=START)
    assert again.rows == {}
    assert bed.files_with(b"anna") == []


@pytest.mark.slow
def test_a_crash_between_rows_and_commit_leaves_the_version_before(bed: StoreBed) -> None:
    lake = bed.lake()
    lake.write_window("interactions", _rows("anna"), **WINDOW)
    before = bed.content()
    lake.write_window("interactions", _rows("bert"), **WINDOW)
    commit = "interactions/_delta_log/00000000000000000001.json"
    assert commit in bed.content().keys() - before.keys()
    bed.server.store.filesystem().delete_file(f"{bed.url}/{commit}".removeprefix("s3://"))
    assert (lake.version("interactions"), _users(bed.lake())) == (0, {"anna"})
    lake.write_window("interactions", _rows("carl"), **WINDOW)
    assert (lake.version("interactions"), _users(bed.lake())) == (1, {"carl"})


@pytest.mark.slow
def test_gc_removes_what_no_version_names(bed: StoreBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Settings(home=tmp_path / "home", lake_url=bed.url, **bed.server.settings)
    lake = Lake(home.lake_place)
    for user in ("anna", "bert", "carl"):
        lake.write_window("interactions", _rows(user), **WINDOW)
    needs = Needs(versions={"interactions": frozenset({1})})
    now, day = datetime.now(UTC), timedelta(days=1)
    assert find(home, needs, age=day, history=day, now=now) == []  # all versions are of today
    kept = lake.expired_files("interactions", history=timedelta(0), keep_versions={1})
    assert kept == []  # within the grace, whatever the history
    monkeypatch.setattr(LakePlace, "grace", timedelta(0))
    (first,) = lake.expired_files("interactions", history=timedelta(0), keep_versions={1})
    assert (first.uri, first.size > 0) == (lake.file_uris("interactions", 0)[0], True)

    monkeypatch.setattr("infra.garbage.survey._DAY", timedelta(0))
    looked = lambda: find(home, needs, age=timedelta(0), history=timedelta(0), now=now)  # noqa: E731
    removed = remove(home, looked(), looked)
    assert [finding.path for finding in removed.findings] == [first.uri]
    assert (_users(lake, 1), _users(lake)) == ({"bert"}, {"carl"})
    with pytest.raises(StoreError, match="everfeed gc"):
        lake.read("interactions", version=0)


def _told(lake: Lake) -> str:
    """Return what reading and writing say, which is the same, once it is sure that no secret stands anywhere in it."""
    words = set()
    for act in (
        lambda: lake.version("interactions"),
        lambda: lake.append("interactions", _rows("anna")),
        lake.table_names,
    ):
        began = time.monotonic()
        with pytest.raises(StoreError) as caught:
            act()
        assert time.monotonic() - began < SECONDS
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET_KEY not in shown
        assert "secret-token" not in shown
        words.add(str(caught.value).replace("/interactions", ""))
    (one,) = words
    return one


@pytest.fixture(scope="module")
def strict() -> Iterator[S3Server]:
    """A server that knows no key."""
    with server() as started:
        started.make("bucket")
        started.look_at_keys(after=0)
        yield started


@pytest.mark.slow
def test_a_wrong_bucket_is_told(s3_server: S3Server) -> None:
    told = _told(Lake(LakePlace.of("s3://no-such-bucket/lake", store=s3_server.store)))
    assert told.startswith(f"s3://no-such-bucket/lake: the object store at {s3_server.url} has no such bucket. Make")


@pytest.mark.slow
def test_a_wrong_key_is_told(strict: S3Server) -> None:
    told = _told(Lake(LakePlace.of("s3://bucket/lake", store=strict.store)))
    assert "does not know the access key. Correct EVERFEED_S3_ACCESS_KEY_ID" in told
    assert ACCESS_KEY not in told


@pytest.mark.slow
def test_a_wrong_secret_is_told(strict: S3Server) -> None:
    import boto3

    strict.look_at_keys(after=4)
    names = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
    users = boto3.client("iam", endpoint_url=strict.url, **names)
    users.create_user(UserName="feeder")
    key = users.create_access_key(UserName="feeder")["AccessKey"]["AccessKeyId"]
    strict.look_at_keys(after=0)
    told = _told(Lake(LakePlace.of("s3://bucket/lake", store=replace(strict.store, access_key_id=key))))
    assert "does not take the secret key" in told


@pytest.mark.slow
def test_keys_that_stop_working_leave_a_whole_version(tmp_path: Path) -> None:
    with server() as fading:
        bed = store_bed(fading, tmp_path)
        lake = bed.lake()
        lake.write_window("interactions", _rows("anna"), **WINDOW)
        for left in range(0, 12, 2):
            fading.look_at_keys(after=left)
            with suppress(StoreError):
                lake.write_window("interactions", _rows("bert"), **WINDOW)
            fading.look_at_keys(after=1_000_000)
            assert _users(lake) in ({"anna"}, {"bert"})
            lake.write_window("interactions", _rows("anna"), **WINDOW)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "http://no-such-host.invalid:9000"])
def test_an_endpoint_that_does_not_answer_is_told(endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    store = ObjectStore(endpoint.format(port=port), "us-east-1", ACCESS_KEY, SECRET_KEY)
    told = _told(Lake(LakePlace.of("s3://bucket/lake", store=store)))
    assert "does not answer. Is it up, and is EVERFEED_S3_ENDPOINT" in told


_EXPIRED = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Expired(BaseHTTPRequestHandler):
    def do_GET(self):
        token = self.headers["x-amz-security-token"]
        said = f"<Message>The provided token has expired.</Message><Token-0>{token}</Token-0>"
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>ExpiredToken</Code>{said}</Error>".encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = HTTPServer(("127.0.0.1", 0), Expired)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""Answers as S3 does to credentials whose time is over, the token included, which moto cannot."""


@pytest.mark.slow
def test_expired_credentials_are_told_without_their_token() -> None:
    # a process of its own, since deltalake holds this one's other threads while it waits
    with subprocess.Popen((sys.executable, "-c", _EXPIRED), stdout=subprocess.PIPE, text=True) as answering:
        assert answering.stdout is not None
        url = f"http://127.0.0.1:{answering.stdout.readline().strip()}"
        store = ObjectStore(url, "us-east-1", ACCESS_KEY, SECRET_KEY, "secret-token-of-a-session")
        told = _told(Lake(LakePlace.of("s3://bucket/lake", store=store)))
        answering.terminate()
    assert "says that the credentials have expired. Renew EVERFEED_S3_ACCESS_KEY_ID" in told


def test_a_store_shows_no_key() -> None:
    assert SECRET_KEY not in repr(ObjectStore("http://a", "r", ACCESS_KEY, SECRET_KEY, "token"))


@pytest.mark.parametrize(
    "url", ["s3://", "s3://B/x", "gs://bucket/lake", "s3://bucket/a lake", "s3://key:secret@bucket/x", "https://h/b"]
)
def test_a_url_that_is_none_of_s3_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"EVERFEED_LAKE_URL is .*Expected a folder, or s3://bucket/prefix") as caught:
        LakePlace.of(url)
    assert "secret" not in str(caught.value)

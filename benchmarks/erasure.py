"""How soon a person is forgotten: by serving with two workers, by the whole home; and what a downdate saves.

    python -m benchmarks.erasure --home HOME        a home that `everfeed demo --exit` made; a copy of it is worked on
    python -m benchmarks.erasure --downdate         EASE and item neighbours, against training them again

The person is the one with the most interactions. Their lists are asked for all the while, each on a connection of its
own; the time to the last list that was still made from their history counts from the start of the command, which
imports and asks a person nothing (`--yes`), and from the moment that the receipt gives.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.compute as pc

from benchmarks.serving.figures import ROOT
from benchmarks.serving.servers import Server, free_port, start_gateway
from infra.lake import Lake
from infra.settings import Settings
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.models import ease, item_knn
from recmodels.training.unlearning import EaseStatistics, ItemKnnStatistics

_WORKERS = 2
_USERS = 5_000
_EVENTS = 60


def main() -> None:
    """Print the figures as one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--downdate", action="store_true")
    parser.add_argument("--items", type=int, nargs="*", default=[1_700, 4_000])
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    if arguments.home:
        found["forget"] = forget(arguments.home)
    if arguments.downdate:
        found["downdate"] = [downdate(number) for number in arguments.items]
    print(json.dumps(found, indent=1))


def forget(home: Path) -> dict[str, Any]:
    """Erase the person with the most interactions from a copy of a home."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "home"
        shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*.lock"))
        user, events = _busiest(folder)
        server = start_gateway(folder, workers=_WORKERS)
        try:
            with _asking(server, user) as answers:
                began, document = _command(folder, user, port=server.port)
                ended = time.time()
                time.sleep(1.0)
        finally:
            server.stop()
    known = [moment for moment, is_unknown in answers if not is_unknown]
    asked_at = datetime.fromisoformat(document["asked_at"]).astimezone(UTC).timestamp()
    assert min(known) < began, "the person was known before"
    return {
        "interactions": events,
        "answers": len(answers),
        "seconds_from_command_to_last_known_answer": round(max(known) - began, 2),
        "seconds_from_tombstone_to_last_known_answer": round(max(known) - asked_at, 3),
        "seconds_of_the_whole_command": round(ended - began, 1),
        "seconds_from_tombstone_to_receipt": round(
            datetime.fromisoformat(document["completed_at"]).timestamp() - asked_at, 1
        ),
        "rows": document["rows"],
        "models": [f"{model['recipe']} {model['stage']}" for model in document["standing"]],
    }


def downdate(num_items: int, *, seed: int = 1) -> dict[str, Any]:
    """Take one user out of both models, and train them again without that user: CPU seconds, and the difference."""
    rng = np.random.default_rng(seed)
    items = (num_items * rng.random(_USERS * _EVENTS) ** 2).astype(np.int32) + FIRST_ITEM
    ends = np.arange(1, _USERS + 1, dtype=np.int64) * _EVENTS
    histories = Histories(items, np.arange(len(items), dtype=np.int64), ends - _EVENTS, ends)
    one, others, size = histories.take(np.array([0])), histories.take(np.arange(1, _USERS)), num_items + FIRST_ITEM
    config, neighbours = ease.Model.Config(), item_knn.Model.Config()
    inverse = EaseStatistics.of(histories, size, regularisation=config.regularisation)
    pairs = ItemKnnStatistics.of(histories, size)
    figures: dict[str, Any] = {"items": num_items, "users": _USERS}
    left, figures["ease_downdate"] = _timed(lambda: inverse.without(one))
    trained, figures["ease_training"] = _timed(
        lambda: EaseStatistics.of(others, size, regularisation=config.regularisation)
    )
    figures["ease_largest_difference"] = float(np.abs(left.table(config) - trained.table(config)).max())
    table, figures["item_knn_downdate"] = _timed(lambda: pairs.without(one).table(neighbours))
    again, figures["item_knn_training"] = _timed(lambda: ItemKnnStatistics.of(others, size).table(neighbours))
    figures["item_knn_is_equal"] = not (table != again).nnz
    return figures


def _timed(work: Any) -> tuple[Any, float]:
    began = time.process_time()
    return work(), round(time.process_time() - began, 3)


def _busiest(home: Path) -> tuple[str, int]:
    users = Lake(Settings(home=home).lake).read("interactions", columns=["user_id"])["user_id"]
    counted = pc.value_counts(users).sort(order="descending", by="counts")[0].as_py()
    return str(counted["values"]), int(counted["counts"])


@contextmanager
def _asking(server: Server, user: str) -> Iterator[list[tuple[float, bool]]]:
    """Ask for the user's list all the while; yields when each answer was asked for, and whether it knew nobody."""
    answers: list[tuple[float, bool]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            asked_at = time.time()
            body = {"user": user, "k": 10}
            answer = httpx.post(f"{server.url}/v1/recommend", json=body, timeout=30.0, trust_env=False)
            answers.append((asked_at, bool(answer.raise_for_status().json()["unknown_user"])))
            stop.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1.0)
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def _command(home: Path, user: str, *, port: int) -> tuple[float, dict[str, Any]]:
    mine = {"EVERFEED_HOME": str(home), "EVERFEED_GATEWAY_PORT": str(port), "EVERFEED_PREFECT_PORT": str(free_port())}
    command = (sys.executable, "-m", "flows.cli", "forget", user, "--yes", "--json")
    began = time.time()
    ended = subprocess.run(command, env={**os.environ, **mine}, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (receipt,) = json.loads(ended.stdout.splitlines()[-1])
    return began, receipt


if __name__ == "__main__":
    main()

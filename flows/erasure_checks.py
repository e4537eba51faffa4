"""What is looked at after an erasure, and what a person must know or do besides."""

from collections.abc import Iterator

import httpx

from flows.wiring import Platform
from infra.erasures import Check
from infra.home_erasure import Person, count_in_files, files_with

_ASKINGS = 16
"""Requests, each on a connection of its own, so that several workers of a gateway are asked."""


def verify_erased(home: Platform, person: Person) -> tuple[Check, ...]:
    """Look for a person in the database, the lake, the files, every byte of the home, and the gateway's answers."""
    return tuple(_checks(home, person))


def notes_of(home: Platform, person: Person) -> tuple[str, ...]:
    """Return what the erasure does not reach, for the receipt."""
    notes = ["Source files outside the home, and its downloads, are as they were: ingest leaves the person out."]
    if not person.user_id:
        notes.append("Only the key was known: rows that hold the raw id without the key were not looked for.")
    elif not person.is_distinctive:
        notes.append("The id is short or a number: it was looked for in columns and Data Docs, not in other texts.")
    if not home.settings.database.startswith("sqlite"):
        notes.append("The database server's own log and backups hold deleted rows until they expire.")
    if not home.settings.mlflow.startswith("sqlite"):
        notes.append(
            "Evaluations among the artifacts of a remote MLflow server hold values by user id: remove them there."
        )
    if home.lake.place.is_remote:
        notes.append(
            "The lake is in an object store: versioned buckets keep deleted files as their rules say, and rows of a"
            " writer that crashed within the last hour go with the next erasure or `everfeed gc`."
        )
    if home.settings.artifacts_url:
        notes.append(
            "Evaluations among MLflow's artifacts in an object store hold values by user id: remove them there."
        )
    return tuple(notes)


def _checks(home: Platform, person: Person) -> Iterator[Check]:
    yield _none_of("database", home.erasures.count(person.user_key), "rows")
    yield _none_of("lake", home.lake.count_user(person.user_id, user_key=person.user_key), "rows")
    yield _none_of("files", count_in_files(home.settings, person), "rows or places")
    found = [str(path.relative_to(home.settings.root)) for path in files_with(home.settings.root, person)]
    words = f"found in {', '.join(found[:5])}" if found else "no file of the home holds the key or a distinctive id"
    yield Check("bytes", not found, words)
    yield _gateway(home, person)


def _none_of(name: str, counts: dict[str, int], unit: str) -> Check:
    words = ", ".join(f"{count} {unit} in {store}" for store, count in counts.items())
    return Check(name, not counts, words or f"no {unit} left")


def _gateway(home: Platform, person: Person) -> Check:
    if not person.user_id:
        return Check("gateway", passed=True, words="not asked, since the raw id is not known")
    answers: list[bool] = []
    try:
        for _ in range(_ASKINGS):
            response = httpx.post(
                f"{home.settings.gateway_url}/v1/recommend", json={"user": person.user_id, "k": 1}, timeout=5.0
            )
            response.raise_for_status()
            answers.append(bool(response.json()["unknown_user"]))
    except (httpx.TransportError, httpx.HTTPStatusError):
        return Check("gateway", passed=True, words="does not answer now; the database that it reads holds no history")
    known = answers.count(False)
    return Check(
        "gateway", not known, f"{len(answers) - known} of {len(answers)} answers were those for an unknown user"
    )

"""What every command shares: the settings it starts from, the screen that a person reads, the one JSON line."""

import getpass
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from infra.settings import Settings
from recmodels.errors import EverfeedError, StoreError
from recmodels.registry import discover_in

_FILE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, which wraps nothing."""

screen = Console(stderr=True, width=None if sys.stderr.isatty() else _FILE_WIDTH)
"""Everything for a person goes to standard error; standard output holds JSON or nothing."""


def read_settings() -> Settings:
    """Read the settings and give this process the environment that the libraries read at their import.

    Raises:
        EverfeedError: A variable of the environment is not valid, or none that is known.
        StoreError: The home is no folder and cannot be made into one.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = "; ".join(map(_wrong, error.errors(include_url=False)))
        raise EverfeedError(
            f"The settings are not valid: {wrong}. Correct or unset each in the environment, or in the project's "
            "everfeed.toml."
        ) from error
    if unknown := Settings.unknown_variables():
        wrong = " ".join(f"{name} is not known.{hint}" for name, hint in unknown.items())
        raise EverfeedError(f"The environment is not valid: {wrong} Correct or unset it: it would change nothing.")
    discover_in(lambda: settings.plugin_folders)
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the home {settings.root} is no folder and cannot be made into one ({error.strerror}). Choose another "
            "with EVERFEED_HOME."
        ) from error
    os.environ.update(settings.environment())
    return settings


def settings_at(home: Path) -> Settings:
    """Return the settings of a home that is named, whatever the environment says of another."""
    return Settings(home=home)


def _wrong(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with one variable, or with several of them together."""
    words = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return words
    return f"EVERFEED_{str(problem['loc'][0]).upper()}={problem['input']!r}: {words}"


def answer(document: Any, *, as_json: bool) -> None:
    """Print a document as one line of JSON, if that was asked for."""
    if as_json:
        typer.echo(json.dumps(document, default=str))


def user_name() -> str:
    """Return who types: recorded beside whatever a person decides."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the password database, as in some containers
        return f"uid {os.getuid()}"


def read_moment(text: str) -> datetime:
    """Read a time in ISO 8601; one without a zone is UTC.

    Raises:
        BadParameter: It is no time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write one such as 2026-03-01T12:00 (UTC).") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def confirm(question: str, *, is_agreed: bool) -> None:
    """Ask a person, unless `--yes` was given already; no answer is no.

    Raises:
        Abort: The answer was no.
    """
    if not is_agreed:
        typer.confirm(question, abort=True, err=True)

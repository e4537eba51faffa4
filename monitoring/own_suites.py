"""Which suite judges which table: the catalogue's, or one from a file that somebody named; and the digest of both.

A suite is code, so a file is run only where its path is named, never because it lies in a folder of the home.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from monitoring.expectations import SUITES, suite_of
from monitoring.suite import QualityConfig, Suite, ValidationContext
from recmodels.data.schema import TABLES
from recmodels.errors import DataError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Build = Callable[[ValidationContext], Suite]


@dataclass(frozen=True)
class Suites:
    """The suites of a validation.

    Attributes:
        files: SHA-256 of each file that somebody named, by its path; the file's name is its table's.
        builds: The function `suite` of each of these files, by table.
    """

    files: Mapping[Path, str] = field(default_factory=dict)
    builds: Mapping[str, Build] = field(default_factory=dict)

    def build(self, name: str, context: ValidationContext) -> Suite:
        """Return the suite of a table: the named file's, else the catalogue's.

        Raises:
            UnknownNameError: Neither has this table.
            DataError: A named file does not give a suite of the contract's table.
        """
        if name not in self.builds:
            return suite_of(name, context)
        suite = self.builds[name](context)
        if not isinstance(suite, Suite) or suite.schema != TABLES[name]:
            raise DataError(
                f"the function `suite` of the file for {name!r} returned {type(suite).__name__}, not a Suite over the"
                f" contract's columns. Let it return Suite(schema={name.upper()}, ...), as `everfeed validate"
                " --propose` writes it."
            )
        return suite

    def digest(self, config: QualityConfig) -> str:
        """Return 16 hexadecimal digits of everything that is expected, limits included; the same rules give the same.

        What only a run knows, such as known ids and the moment that counts as now, is left out.
        """
        context = ValidationContext(as_of=_EPOCH, config=config)
        words = {name: _words(self.build(name, context)) for name in SUITES.names()}
        text = json.dumps([words, sorted(self.files.values()), config.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


CATALOGUE: Final = Suites()
"""The suites that come with Everfeed, and with plug-ins."""


def load_suites(paths: Iterable[Path], *, expected: Mapping[Path, str] | None = None) -> Suites:
    """Run the named files, or those of the named folders, and return their suites.

    Args:
        paths: Python files named for their table, such as ``interactions.py``, with a function `suite`.
        expected: SHA-256 of each file as it was when it was named; None takes them as they are.

    Raises:
        DataError: A file is missing, not named for a table, not runnable, without `suite`, or not what was named.
    """
    files: dict[Path, str] = {}
    builds: dict[str, Build] = {}
    for path in _listed(paths):
        text = path.read_bytes()
        found = hashlib.sha256(text).hexdigest()
        if expected is not None and expected.get(path) != found:
            raise DataError(
                f"{path} is not the suite that was used when this home's data was ingested (SHA-256 {found[:12]}, then"
                f" {str(expected.get(path))[:12]}). Restore it, or name it again: `everfeed run --suite {path} ...`."
            )
        if path.stem in builds:
            raise DataError(f"{path} is the second suite for {path.stem!r}. Name one file a table.")
        files[path] = found
        builds[path.stem] = _run(path, found)
    return Suites(files, builds)


def _listed(paths: Iterable[Path]) -> list[Path]:
    known = SUITES.names()
    listed: list[Path] = []
    for path in (path.expanduser().resolve() for path in paths):
        if not path.exists():
            raise DataError(f"suite {path} does not exist. Write one with `everfeed validate --propose`.")
        listed += sorted(path.glob("[!_]*.py")) if path.is_dir() else [path]
    odd = [path for path in listed if path.stem not in known or path.suffix != ".py"]
    if odd:
        raise DataError(
            f"suite {odd[0]} is not named for a table. Call it one of: {', '.join(f'{n}.py' for n in known)}."
        )
    return listed


def _run(path: Path, digest: str) -> Build:
    spec = importlib.util.spec_from_file_location(f"everfeed_suite_{path.stem}_{digest[:12]}", path)
    assert spec is not None, "a file ending in .py has a loader"
    assert spec.loader is not None, "a file ending in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a door: the file is somebody's own code, which may raise anything
        raise DataError(f"suite {path} cannot be run: {type(error).__name__}: {error}. Correct it.") from error
    if not callable(getattr(module, "suite", None)):
        raise DataError(f"suite {path} has no function `suite(context)`. Write one, as `--propose` does.")
    return cast("Build", module.suite)


def _words(suite: Suite) -> object:
    return {
        "schema": [f"{f.name}:{f.type}:{f.nullable}" for f in suite.schema],
        "key": suite.key,
        "rows": [(rule.column, rule.reason, rule.holds, rule.needs) for rule in suite.rows],
        "table": [(rule.name, rule.column, rule.needs, rule.advice) for rule in suite.table],
        "is_open": suite.is_open,
    }

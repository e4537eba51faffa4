"""`everfeed.toml`, a project's own file of settings: where it is, and what it may say.

It is found from the working directory upward; variables of the environment win over it. A path in it is relative to the
file: whatever begins with ``./`` or ``../`` anywhere in it, and the settings that are paths however they are written.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from recmodels.errors import SettingsError
from recmodels.spelling import did_you_mean

FILE_NAME: Final = "everfeed.toml"
BUNDLED: Final = "bundled:"
"""How a path begins that names a data set of the package index, such as ``bundled:ml-100k``."""

_RELATIVE: Final = ("./", "../")


class RunDefaults(BaseModel):
    """What `everfeed run` runs where its options do not say so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = ""
    """Source plug-in."""
    path: str = ""
    """File, folder or pattern to read; ``bundled:ml-100k`` for the demo's data."""
    options: dict[str, JsonValue] = {}
    """Options of the source."""
    name: str = ""
    """Name of the data set, where it is not the source's own."""
    presets: tuple[str, ...] = ()
    """Presets to train."""
    recipes: tuple[Path, ...] = ()
    """Files of recipes to train."""
    label: str = ""
    """What makes an interaction positive."""
    suites: tuple[Path, ...] = ()
    """Files, or folders of files, with suites that hold for this data alone."""
    visitors: int = Field(20_000, ge=100)
    """Most resampled visitors that a canary meets."""

    def __hash__(self) -> int:
        """Hash the content, which the options' dict does not do by itself."""
        return hash(self.model_dump_json())


class ProjectFile(PydanticBaseSettingsSource):
    """What the project's file says, as a source of settings."""

    def __call__(self) -> dict[str, Any]:
        """Return the values of the file, its paths absolute; nothing where there is none.

        Raises:
            SettingsError: A file that was named is missing, or the file is no TOML or holds an unknown name.
        """
        named = self.current_state.get("config")
        path = Path(str(named)).expanduser().resolve() if named else find_project_file(Path.cwd())
        if path is None:
            return {}
        values = _absolute(_read(path), path.parent)
        assert isinstance(values, dict), "a TOML document is a table"
        _refuse_unknown(values, self.settings_cls, path)
        return {name: _fit(value, self.settings_cls.model_fields[name], path) for name, value in values.items()} | {
            "config": path
        }

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        """Return nothing: the file is read as a whole."""
        return None, field_name, False


def find_project_file(start: Path) -> Path | None:
    """Return the nearest `everfeed.toml` of a folder and those above it."""
    found = (folder / FILE_NAME for folder in (start.resolve(), *start.resolve().parents))
    return next((path for path in found if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}. Name another file with EVERFEED_CONFIG, or unset it."
        ) from error
    except ValueError as error:
        raise SettingsError(f"{path} is no TOML: {error}. Correct it; `everfeed init DIR` writes one.") from error


def _refuse_unknown(values: Mapping[str, Any], settings: type[BaseSettings], path: Path) -> None:
    known = [name for name in settings.model_fields if name != "config"]
    run = values.get("run")
    places = [("", name, known) for name in values]
    places += [("run.", name, list(RunDefaults.model_fields)) for name in run] if isinstance(run, dict) else []
    for start, name, names in places:
        if name not in names:
            raise SettingsError(
                f"{path}: {start + name!r} is not known.{did_you_mean(name, names)} Known: {', '.join(sorted(names))}."
            )


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _absolute(one, folder) for name, one in value.items()}
    if isinstance(value, list):
        return [_absolute(one, folder) for one in value]
    return _below(value, folder) if isinstance(value, str) and value.startswith(_RELATIVE) else value


def _fit(value: Any, field: FieldInfo, path: Path) -> Any:
    """Return a value as its setting takes it: paths below the file, tables for what is JSON in a variable."""
    if isinstance(value, str) and field.annotation in (Path, Path | None):
        return _below(value, path.parent)
    if isinstance(value, dict) and field.annotation is SecretStr:
        return json.dumps(value)
    if isinstance(value, dict) and field.annotation is RunDefaults:
        lists = {name: [_below(one, path.parent) for one in value.get(name, [])] for name in ("recipes", "suites")}
        place = value.get("path", "")
        return value | lists | ({"path": _below(place, path.parent)} if place and not place.startswith(BUNDLED) else {})
    return value


def _below(text: str, folder: Path) -> str:
    return str(folder / Path(text).expanduser())

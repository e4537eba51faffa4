"""Discovery of plug-ins: the modules of a package are the catalogue, and a module's file name is the plug-in's name.

To these come a project's own: the modules in the folder of the same name below each folder that `discover_in` was told,
and what installed packages declare as entry points of the group ``everfeed.<folder>``, such as ``everfeed.models``.
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from recmodels.errors import PluginError, UnknownNameError
from recmodels.spelling import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_PROJECT: Final = "everfeed_project"
"""First part of the names that a project's own modules are imported under."""

_own_folders: Callable[[], Sequence[Path]] = tuple


def discover_in(folders: Callable[[], Sequence[Path]]) -> None:
    """Say where a project's own plug-ins are; asked once, when a catalogue is first read.

    Args:
        folders: Returns folders that hold a folder a kind, such as ``models`` and ``channels``.
    """
    global _own_folders
    _own_folders = cache(folders)


@dataclass(frozen=True)
class Registry:
    """The plug-ins of one package, of the project's folders, and of installed packages.

    A plug-in is a public module that holds one object under a fixed attribute name. Modules are imported only when
    they are asked for, so listing the catalogue costs no heavy import.

    Args:
        package: Dotted name of the package whose modules are the plug-ins.
        attribute: Name of the object that each module must define.
        kind: What one plug-in is called in messages, such as ``"model"``.
        is_replaceable: A plug-in of a project may stand in the place of the package's own of the same name.
    """

    package: str
    attribute: str
    kind: str
    is_replaceable: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder that holds such plug-ins, of the package and of a project."""
        return self.package.rpartition(".")[2]

    def names(self) -> tuple[str, ...]:
        """Return the known names in alphabetical order.

        Raises:
            PluginError: A plug-in of the project has the name of another.
        """
        return tuple(sorted({*self._shipped(), *self._own()}))

    def module(self, name: str) -> ModuleType:
        """Import the module of the plug-in called `name`.

        Raises:
            UnknownNameError: No module of the package, and none of the project, has this name.
            PluginError: A plug-in of the project cannot be run, or has the name of another.
        """
        own = self._own()
        if name in own:
            return self._import_own(name, own[name])
        if name not in self._shipped():
            known = self.names()
            raise UnknownNameError(
                f"{self.kind} {name!r} is not known.{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
        return importlib.import_module(f"{self.package}.{name}")

    def get(self, name: str) -> object:
        """Return the object that the plug-in called `name` defines.

        Raises:
            UnknownNameError: No module of the package, and none of the project, has this name.
            PluginError: A plug-in of the project cannot be run, or lacks the object.
        """
        module = self.module(name)
        if not hasattr(module, self.attribute) and name in self._own():
            raise PluginError(
                f"{self.kind} {name!r}: {module.__file__} defines no {self.attribute!r}. Name the object so; "
                f"`{self.package}` holds examples."
            )
        assert hasattr(module, self.attribute), f"{module.__name__} must define {self.attribute}"
        return getattr(module, self.attribute)

    def _shipped(self) -> tuple[str, ...]:
        path = importlib.import_module(self.package).__path__
        return tuple(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))

    def _own(self) -> Mapping[str, Path | str]:
        """Return the project's plug-ins by name: a file each, or the dotted name of an installed module."""
        files = [path for root in _own_folders() for path in sorted((root / self.folder).glob("[!_]*.py"))]
        found: list[tuple[str, Path | str]] = [(path.stem, path) for path in files]
        found += _declared(f"everfeed.{self.folder}")
        own: dict[str, Path | str] = {}
        taken = () if self.is_replaceable else self._shipped()
        for name, place in found:
            if name in own or name in taken:
                other = own.get(name, f"{self.package}.{name}")
                raise PluginError(
                    f"{self.kind} {name!r} is there twice: {place} and {other}. Give the one of your own another name."
                )
            own[name] = place
        return own

    def _import_own(self, name: str, place: Path | str) -> ModuleType:
        try:
            return importlib.import_module(place) if isinstance(place, str) else _run(place, self.folder)
        except Exception as error:  # a door: the module is somebody's own code, which may raise anything
            raise PluginError(
                f"{self.kind} {name!r}: {place} cannot be imported: {type(error).__name__}: {error}. Correct it."
            ) from error


@cache
def _declared(group: str) -> list[tuple[str, Path | str]]:
    """Return what installed packages declare; it stays the same as long as the process lives."""
    return [(point.name, point.value) for point in entry_points(group=group)]


def _run(path: Path, folder: str) -> ModuleType:
    """Import a file under a name of its own, once a process."""
    name = f"{_PROJECT}.{folder}.{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a file ending in .py has a loader"
    assert spec.loader is not None, "a file ending in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: what it defines may look for its own module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def explain_settings(kind: str, name: str, config_class: type["BaseModel"], error: "ValidationError") -> str:
    """Return what is wrong with the settings of a plug-in, field by field.

    Args:
        kind: What one plug-in is called.
        name: Of the plug-in.
        config_class: What its settings were validated as.
        error: What came of that.
    """
    known = tuple(config_class.model_fields)
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "config"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(place, known)
            problems.append(f"field {place!r} is not known.{hint} Known: {', '.join(known) or 'none'}.")
        else:
            problems.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}.")
    return f"{kind} {name!r}: " + " ".join(problems)

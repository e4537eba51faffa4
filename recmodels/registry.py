"""Discovery of plug-ins: the modules of a package are the catalogue, and a module's file name is the plug-in's name."""

import importlib
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING

from recmodels.errors import UnknownNameError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


@dataclass(frozen=True)
class Registry:
    """The plug-ins of one package.

    A plug-in is a public module that holds one object under a fixed attribute name. Modules are imported only when
    they are asked for, so listing the catalogue costs no heavy import.

    Args:
        package: Dotted name of the package whose modules are the plug-ins.
        attribute: Name of the object that each module must define.
        kind: What one plug-in is called in messages, such as ``"model"``.
    """

    package: str
    attribute: str
    kind: str

    def names(self) -> tuple[str, ...]:
        """Return the known names in alphabetical order."""
        path = importlib.import_module(self.package).__path__
        return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))

    def module(self, name: str) -> ModuleType:
        """Import the module of the plug-in called `name`.

        Raises:
            UnknownNameError: No module of the package has this name.
        """
        known = self.names()
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownNameError(f"{self.kind} {name!r} is not known.{hint} Known: {', '.join(known)}.")
        return importlib.import_module(f"{self.package}.{name}")

    def get(self, name: str) -> object:
        """Return the object that the plug-in called `name` defines.

        Raises:
            UnknownNameError: No module of the package has this name.
        """
        module = self.module(name)
        assert hasattr(module, self.attribute), f"{module.__name__} must define {self.attribute}"
        return getattr(module, self.attribute)


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
            near = get_close_matches(place, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            problems.append(f"field {place!r} is not known.{hint} Known: {', '.join(known) or 'none'}.")
        else:
            problems.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}.")
    return f"{kind} {name!r}: " + " ".join(problems)

"""Discovery of plug-ins: the modules of a package are the catalogue, and a module's file name is the plug-in's name."""

import importlib
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType

from recmodels.errors import UnknownNameError


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

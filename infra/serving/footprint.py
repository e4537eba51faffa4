"""How much memory a worker holds: what nothing of it needs stays away, and what loading took goes back."""

import ctypes
import gc
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _Absent(MetaPathFinder):
    """Makes a package look as if it were not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /) -> None:
        """Refuse the package, and leave every other to the finders behind."""
        del path, target
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is kept out of this process", name=fullname)


def keep_small() -> None:
    """Prepare this process; called before the first model is loaded.

    Arrow's own allocator keeps several times what a table takes, and Arrow brings in pandas, 28 MB, wherever an array
    is made of a list, to see whether that list is one of its columns.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    sys.meta_path.insert(0, _Absent("pandas"))  # Arrow does without


def settle() -> None:
    """Take what was imported out of the garbage collector's sight; called once, before requests are served.

    A full collection looks through everything that lives: with 95,000 functions, classes and dictionaries no request
    is answered for 56 ms.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return to the system what loading a model took and let go of, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

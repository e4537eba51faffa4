"""The nearest known name to one that is not known: what every message about a typo ends with."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return a sentence that begins with a blank, such as ``" Did you mean 'home'?"``; empty where nothing is near.

    Args:
        name: What was given.
        known: What there is.
        prefix: With which all of them begin; it makes no name nearer.
    """
    near = get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], n=1)
    return f" Did you mean {prefix + near[0]!r}?" if near else ""

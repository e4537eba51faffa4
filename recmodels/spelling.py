"""The nearest known name to one that is not known: what every message about a typo ends with."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that begins with a blank, such as ``" Did you mean 'home'?"``; empty where nothing is near."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""

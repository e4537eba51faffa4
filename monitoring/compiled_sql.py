"""SQL of single values and conditions: what is missing, outside of bounds, in a set, or like a pattern."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

FLOAT: Final = "float"
INTEGER: Final = "integer"
BOOLEAN: Final = "boolean"
TEXT: Final = "text"
MOMENT: Final = "moment"

_PLAIN_PATTERN: Final = re.compile(r"\^?(?:\[(?:[A-Za-z0-9 _](?:-[A-Za-z0-9])?|\\[trnfv])+\][*+?]?|[A-Za-z0-9 _])*\$?")
_ONE_CLASS: Final = re.compile(r"\^\[([^\]]*)\][*+]\$")
_BEYOND: Final = 2**1000  # larger integers are no floats
_EARLIEST: Final = "TIMESTAMPTZ '0001-01-01 00:00:00+00'"
_LATEST: Final = "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def shown(sql: str, family: str) -> str:
    """Return SQL of a value as it is shown: a moment in microseconds since 1970, within the years 1 to 9999."""
    if family != MOMENT:
        return sql
    return f"CASE WHEN {sql} IS NOT NULL THEN epoch_us(least(greatest({sql}, {_EARLIEST}), {_LATEST})) END"


def missing(column: str, family: str) -> str:
    """Return SQL that is true where there is no value; NaN is none, as in pandas."""
    name = quoted(column)
    return f"{name} IS NULL OR isnan({name})" if family == FLOAT else f"{name} IS NULL"


def outside(column: str, family: str, arguments: Mapping[str, object]) -> str | None:
    """Return SQL that is true outside of `min_value` to `max_value`; None where pandas is to judge, or to object."""
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if family not in {FLOAT, INTEGER, MOMENT} or (low is None and high is None):
        return None
    value = f"{quoted(column)}::DOUBLE" if family == INTEGER else quoted(column)
    parts: list[str] = []
    for bound, sign, strict in ((low, "<", "strict_min"), (high, ">", "strict_max")):
        if bound is None:
            continue
        literal = _literal(bound, family)
        if literal is None:
            return None
        parts.append(f"{value} {sign}{'=' if arguments.get(strict) else ''} {literal}")
    if low is not None and high is not None and low > high:  # type: ignore[operator] # both are of the column's family
        return None
    return f"({' OR '.join(parts)})"


def members(column: str, family: str, values: object, *, is_wanted: bool) -> str | None:
    """Return SQL that is true for values that are not in a set, or are if that is not wanted; None for pandas."""
    if not isinstance(values, Sequence) or isinstance(values, str) or family == MOMENT:
        return None
    if family == INTEGER and not all(isinstance(value, int) for value in values):
        return None
    literals = [_literal(value, family, is_member=True) for value in values]
    if any(literal is None for literal in literals):
        return None
    if not literals:
        return "true" if is_wanted else "false"
    return f"{quoted(column)} {'NOT ' if is_wanted else ''}IN ({', '.join(map(str, literals))})"


def matches(column: str, family: str, pattern: object, *, is_wanted: bool) -> str | None:
    """Return SQL that is true for texts that do not match, or do if that is not wanted; None for pandas."""
    if family != TEXT or not isinstance(pattern, str) or not _is_plain(pattern):
        return None
    is_match = f"regexp_matches({quoted(column)}, '{pattern}')"
    bound = _first_above(pattern)
    if bound is not None:  # comparing first is three times cheaper where hardly a value matches, as with blanks
        is_match = f"CASE WHEN {quoted(column)} < '{bound}' THEN {is_match} ELSE false END"
    return f"{'NOT ' if is_wanted else ''}({is_match})"


def _first_above(pattern: str) -> str | None:
    """Return a text that every match of ``^[...]*$`` comes before: one above its last character; None otherwise."""
    listed = _ONE_CLASS.fullmatch(pattern)
    if listed is None:
        return None
    last = max(chr(code) for code in range(128) if re.match(f"[{listed.group(1)}]", chr(code)))
    above = chr(ord(last) + 1)
    return None if above in "'\x7f" else above


def _is_plain(pattern: str) -> bool:
    """Return whether a pattern has anchors, classes and characters alone, which every engine reads alike."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _PLAIN_PATTERN.fullmatch(pattern) is not None


def _literal(value: object, family: str, *, is_member: bool = False) -> str | None:
    """Return a value as SQL, or None where it is of another family or not the same number as a float."""
    if family == TEXT and isinstance(value, str) and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if family == BOOLEAN and isinstance(value, bool):
        return str(value).lower()
    if family == MOMENT and isinstance(value, datetime) and value.tzinfo is not None:
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat(sep=' ')}'"
    if family not in {FLOAT, INTEGER} or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if family == INTEGER and is_member:
        return str(value) if -(2**63) <= value < 2**63 else None
    is_number = abs(value) < _BEYOND if isinstance(value, int) else math.isfinite(value)
    if not is_number or float(value) != value:
        return None
    return f"{float(value)!r}::DOUBLE"

"""The newest daily figures of the monitor with the band that each one's own past allowed: one file of a home."""

import secrets
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec

from recmodels.errors import StoreError

_FORMAT = 1


class FigureRecord(msgspec.Struct, frozen=True):
    """One figure, as the newest run of the monitor judged it.

    Attributes:
        name: Its name, such as ``"rating_mean"``.
        family: What incidents are grouped by.
        slice: The part of the data; empty for all.
        status: ``"ok"``, ``"drift"``, ``"learning"`` or ``"insufficient"``.
        value: On the newest day; None where it could not be computed.
        expected: What its past predicts; None while it is learning.
        size: Deviation in day-to-day spreads; None while it is learning.
        since: First day of the deviation.
        words: What a person is told.
        days: The newest days, oldest first, D of them; empty where nothing is known day by day.
        values: (D,) its value, None where there was none.
        centre: (D,) what its past predicted.
        lower: (D,) lower end of the band.
        upper: (D,) upper end of the band.
    """

    name: str
    family: str
    slice: str
    status: str
    value: float | None
    expected: float | None
    size: float | None
    since: datetime | None
    words: str
    days: tuple[date, ...] = ()
    values: tuple[float | None, ...] = ()
    centre: tuple[float | None, ...] = ()
    lower: tuple[float | None, ...] = ()
    upper: tuple[float | None, ...] = ()


class Figures(msgspec.Struct, frozen=True):
    """All figures of one run.

    Attributes:
        as_of: Newest event that was judged.
        written_at: When.
        action: What the policy did.
        reasons: Why.
        figures: The figures, in the order of the checks.
        format_version: Of the file.
    """

    as_of: datetime
    written_at: datetime
    action: str
    reasons: tuple[str, ...]
    figures: tuple[FigureRecord, ...]
    format_version: int = _FORMAT


class FigureStore:
    """The figures of one home.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(
        self,
        figures: Sequence[FigureRecord],
        *,
        as_of: datetime,
        action: str,
        reasons: Sequence[str],
        now: datetime,
    ) -> None:
        """Keep the figures of a run in place of the former ones, at once.

        Raises:
            StoreError: The file cannot be written.
        """
        document = Figures(as_of, now, action, tuple(reasons), tuple(figures))
        partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(msgspec.json.encode(document))
            partial.replace(self._path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"figures {self._path} cannot be written: {error}. Free space, then run again.") from error

    def read(self) -> Figures | None:
        """Return the figures of the newest run, or None before the first.

        Raises:
            StoreError: The file is of another version, or damaged.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Figures)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"figures {self._path} cannot be read ({error}). The next run of the monitor writes them anew."
            ) from error

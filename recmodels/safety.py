"""Which labelled items may be shown to whom: terms of the platform, which no recipe and no release can loosen.

Free of NumPy and pyarrow, since the settings hold it.
"""

from pydantic import BaseModel, ConfigDict, Field

OK, RESTRICTED, BLOCKED, NO_LABEL = range(4)
"""Numbers of the labels, in the order of `recmodels.data.schema.SAFETY_LEVELS`."""


class SafetyPolicy(BaseModel):
    """Terms under which items are shown. Items labelled ``blocked`` never are, whatever stands here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    restricted_surfaces: tuple[str, ...] | None = None
    """Surfaces on which items labelled ``restricted`` may stand; absent for every surface, empty for none."""
    restricted_minimum_age: float | None = Field(None, ge=0)
    """Years from which on a user may see them, by the `age` of the request's context; one who sends none may not.
    Absent: no age is asked for."""
    shows_unlabelled: bool = True
    """Items without a label may be shown; False fails closed."""

    def shows_restricted(self, surface: str | None, age: float | None) -> bool:
        """Return whether somebody may see restricted items.

        Args:
            surface: Where; None where that is not known, which is no surface that was named.
            age: Years; None where that is not known, which is younger than any age that was asked for.
        """
        if self.restricted_surfaces is not None and surface not in self.restricted_surfaces:
            return False
        return self.restricted_minimum_age is None or (age is not None and age >= self.restricted_minimum_age)

    @property
    def restricts_nobody(self) -> bool:
        """Whether restricted items are shown to everybody, everywhere."""
        return self.restricted_surfaces is None and self.restricted_minimum_age is None

    def allowed(self, *, shows_restricted: bool) -> tuple[bool, bool, bool, bool]:
        """Return whether items of each label may be shown, by the label's number.

        Args:
            shows_restricted: As the method of this name says of who asks.
        """
        return True, shows_restricted, False, self.shows_unlabelled

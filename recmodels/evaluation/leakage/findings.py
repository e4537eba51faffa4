"""What an audit finds, how large a finding must be to matter, and the report of all of them."""

from collections.abc import Collection
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """Nothing worth a thought."""
    NOTE = "note"
    """It moves figures, or would mislead another program, but tells the model nothing that it may not know."""
    LEAK = "leak"
    """The test part reaches the model: figures measured on it are not those of traffic."""


class LeakageConfig(BaseModel):
    """From which size on something is a note or a leak."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    same_event_seconds: float = Field(1.0, gt=0)
    """Two events of a user with an item that are closer than this are one event, logged twice."""
    shared_share: float = Field(0.001, ge=0, le=1)
    """Share of the test events that training holds too, from which on it is a leak; a smaller one is a note."""
    repeated_share: float = Field(0.01, ge=0, le=1)
    """Share of the test events whose user met the item before, from which on it is a note."""
    tied_share: float = Field(0.05, ge=0, le=1)
    """Share of tied test events from which on ties are a note."""
    tied_history_share: float = Field(0.1, ge=0, le=1)
    """Share of the targets of leave-one-out that are tied with their own history, from which on it is a leak."""
    id_note: float = Field(0.3, ge=0, le=1)
    """Rank correlation of ids with first appearance, either way, from which on it is a note."""
    id_leak: float = Field(0.999, ge=0, le=1)
    """The same for a leak: ids that only somebody who saw the whole data could have given."""
    column_note: float = Field(0.3, ge=0, le=1)
    """How far a column goes with the counts after the cut, given those before, to be a note: a partial rank
    correlation, or its like for words."""
    column_leak: float = Field(0.5, ge=0, le=1)
    """The same for a leak; also the agreement beyond chance of a column with counts of events after the cut."""
    column_excess: float = Field(0.2, ge=0, le=1)
    """By how much that must exceed how far the column goes with the counts before, given those after: what is honestly
    known of a thing, such as its creator, tells of both alike, and of either more than the other's few events do."""
    column_certain: float = Field(0.9, ge=0, le=1)
    """From here on it is a leak without any excess: nothing that was known before foretells counts so well."""
    late_share: float = Field(0.01, ge=0, le=1)
    """Share of the ids with an event before the cut whose time lies after it, from which on it is a leak."""
    early_share: float = Field(0.01, ge=0, le=1)
    """Share of the ids with an event before the time that should be their first, from which on it is a note; half of
    them are a leak."""
    slack_days: float = Field(1.0, ge=0)
    """Times may be off by so many days: dates without an hour, other time zones."""
    minimum_ids: int = Field(50, ge=3)
    """With fewer ids nothing is said of them or of their columns: chance alone reaches `column_note` then."""


class Finding(BaseModel):
    """One thing that was looked at.

    Attributes:
        name: Fixed name, such as ``"shared_events"`` or ``"users.segment"``.
        severity: How much it matters.
        size: The figure that was judged: a share or a correlation.
        what: What was seen, with its size.
        why: Why it matters; empty where nothing was found.
        advice: What to do; empty where nothing was found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    severity: Severity
    size: float
    what: str
    why: str = ""
    advice: str = ""

    @property
    def words(self) -> str:
        """The finding in one paragraph."""
        return " ".join(text for text in (f"{self.name}: {self.what}", self.why, self.advice) if text)


class LeakageReport(BaseModel):
    """Everything that was looked at, leaks first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """What makes the test part untrustworthy."""
        return self._of(Severity.LEAK)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What a reader should know."""
        return self._of(Severity.NOTE)

    @property
    def words(self) -> str:
        """The verdict in one line."""
        names = ", ".join(finding.name for finding in self.leaks or self.notes)
        if self.leaks:
            return f"{len(self.leaks)} of {len(self.findings)} checks found a leak: {names}"
        return f"no leak in {len(self.findings)} checks" + (f"; notes: {names}" if names else "")

    def accepting(self, names: Collection[str]) -> "LeakageReport":
        """Return the report with the named leaks as notes, since somebody answers for them."""
        return LeakageReport(
            findings=tuple(
                finding.model_copy(update={"severity": Severity.NOTE, "what": f"{finding.what} (accepted)"})
                if finding.name in names and finding.severity == Severity.LEAK
                else finding
                for finding in self.findings
            )
        )

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)


def judged(
    name: str, size: float, what: str, *, note_at: float, leak_at: float | None, why: str, advice: str
) -> Finding:
    """Return a finding whose severity follows from its size; `leak_at` None for what is never a leak."""
    severity = Severity.OK if size < note_at or size == 0 else Severity.NOTE
    if leak_at is not None and size >= leak_at and size > 0:
        severity = Severity.LEAK
    if severity == Severity.OK:
        return Finding(name=name, severity=severity, size=size, what=what)
    return Finding(name=name, severity=severity, size=size, what=what, why=why, advice=advice)

"""What an operator may do: each action asks first, says what follows, and does it as the command line does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from infra.console.desk import Desk
from infra.console.prefect_client import PrefectClient
from infra.database import Database
from infra.settings import Settings

Form = Mapping[str, str]


@dataclass(frozen=True)
class Field:
    """One thing that a person is asked for.

    Attributes:
        name: Of the form's field.
        label: What a person reads.
        value: What stands in it.
        choices: The values there are, each with its label; empty for free text.
        is_required: It may not be left empty.
        hint: What it is for.
    """

    name: str
    label: str
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    is_required: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Question:
    """What is asked before anything is done.

    Attributes:
        title: The question.
        facts: What is so, and what follows.
        button: What the button says.
        fields: What else is asked.
        hidden: What the answer carries along: what the person saw.
        is_grave: It changes what people are shown.
        back: Where "no" leads.
    """

    title: str
    facts: tuple[str, ...]
    button: str
    fields: tuple[Field, ...]
    hidden: Mapping[str, str]
    is_grave: bool = False
    back: str = "/"


@dataclass(frozen=True)
class Operator:
    """Who acts, when, and on what.

    Attributes:
        settings: Where everything is.
        database: An open database.
        desk: What the layer above does.
        prefect: Prefect's API.
        actor: Who, as the audit log names them.
        now: When.
    """

    settings: Settings
    database: Database
    desk: Desk
    prefect: PrefectClient
    actor: str
    now: datetime

    @property
    def name(self) -> str:
        """Who, as rollouts and incidents name them: without where it came from."""
        return self.actor.removeprefix("console:")


@dataclass(frozen=True)
class Verb:
    """One action.

    Attributes:
        name: In addresses.
        action: In the audit log: as the command line calls it.
        subject: Name of the form's field that says on what.
        ask: Returns the question.
        act: Does it, and returns what was done, in words.
        needs_reason: A person must say why.
    """

    name: str
    action: str
    subject: str
    ask: Callable[[Operator, Form], Awaitable[Question]]
    act: Callable[[Operator, Form], Awaitable[str]]
    needs_reason: bool = True


REASON = Field("reason", "Why", hint="Kept with the change, for the others.")

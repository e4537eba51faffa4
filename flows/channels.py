"""Which alert channels there are: plug-ins with their options, by name, from the settings and the home.

A secret is never an option's value where Prefect would keep it: an option that reads ``secret:NAME`` stands for the
content of the file ``secrets/NAME`` in the home.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from infra.settings import Settings
from monitoring.alerts.alert import ChannelError
from monitoring.alerts.channels import Channel, open_channel, secret_options
from recmodels.errors import EverfeedError

_log = logging.getLogger(__name__)
_REFERENCE = re.compile(r"secret:(?P<name>.+)")


class ChannelChoice(BaseModel):
    """An alert channel with its options, as a flow parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Plug-in."""
    options: dict[str, JsonValue] = {}
    """Its options; ``secret:NAME`` stands for the content of a file in the home's folder ``secrets``."""


_CHOICES = TypeAdapter(dict[str, ChannelChoice])


def default_channels(settings: Settings) -> dict[str, ChannelChoice]:
    """Return the channels that the settings name: a log in the home always, and those of a person's own.

    Raises:
        ChannelError: They are no JSON of the expected form.
    """
    url = settings.webhook_url.get_secret_value()
    return log_channel(settings) | (webhook_channel(url) if url else {}) | _own_channels(settings)


def channel_names(settings: Settings, *, earlier: Iterable[str]) -> list[str]:
    """Return the channels that are to be told; where the list of them cannot be read, those that were told earlier.

    Args:
        settings: Where the list is.
        earlier: Channels that had alerts before: a mistake in the list must lose none of theirs.
    """
    try:
        return list(default_channels(settings))
    except ChannelError as error:
        _log.error("the list of alert channels cannot be read: %s", error)
        return sorted({*log_channel(settings), *earlier})


def log_channel(settings: Settings) -> dict[str, ChannelChoice]:
    """Return the channel that appends to a file in the home."""
    return {"log": ChannelChoice(name="log", options={"path": str(settings.reports / "alerts.jsonl")})}


def webhook_channel(url: str, *, name: str = "webhook") -> dict[str, ChannelChoice]:
    """Return a channel that posts to an address; one with a token in it is given as ``secret:NAME``."""
    return {name: ChannelChoice(name="webhook", options={"url": url})}


def secret_webhook_channel(settings: Settings, url: str, *, name: str) -> dict[str, ChannelChoice]:
    """Return a channel that posts to an address, with the address kept in the home instead of in the options."""
    secret = re.sub(r"[^A-Za-z0-9]", "_", f"{name}_url")
    settings.keep_secret(secret, url)
    return webhook_channel(f"secret:{secret}", name=name)


@dataclass(frozen=True)
class Plan:
    """The channels as a home names them just now, with their secrets; held in memory, never shown.

    Attributes:
        options: Plug-in and options by name.
        problems: Why a channel, or the whole list, cannot be used, by name.
    """

    options: Mapping[str, tuple[str, Mapping[str, JsonValue]]] = field(repr=False)
    problems: Mapping[str, str]


def plan_channels(settings: Settings) -> Plan:
    """Return the channels of a home; what is wrong with one holds up no other."""
    options: dict[str, tuple[str, Mapping[str, JsonValue]]] = {}
    problems: dict[str, str] = {}
    try:
        choices = default_channels(settings)
    except ChannelError as error:
        choices, problems = log_channel(settings), {"list": str(error)}
    for name, choice in choices.items():
        try:
            resolved = {key: _resolved(settings, name, value) for key, value in choice.options.items()}
        except ChannelError as error:
            problems[name] = str(error)
        else:
            options[name] = (choice.name, resolved)
    return Plan(options, problems)


def open_planned(plan: Plan) -> tuple[dict[str, Channel], dict[str, str]]:
    """Return the channels that can be opened, and why the others cannot, both by name."""
    opened: dict[str, Channel] = {}
    problems = dict(plan.problems)
    for name, (plugin, options) in plan.options.items():
        try:
            opened[name] = open_channel(plugin, options)
        except EverfeedError as error:
            problems[name] = str(error)
    return opened, problems


def open_channels(settings: Settings, choices: Mapping[str, ChannelChoice]) -> dict[str, Channel]:
    """Return the channels, opened, by name.

    Raises:
        UnknownNameError: A plug-in is not known.
        ChannelError: An option is wrong, or its secret is not kept in the home.
    """
    return {name: _open(settings, name, choice) for name, choice in choices.items()}


def require_no_secrets(choices: Mapping[str, ChannelChoice]) -> None:
    """Refuse secrets in flow parameters, which Prefect keeps and shows.

    Raises:
        ChannelError: An option that is a secret holds its value instead of a reference.
    """
    for name, choice in choices.items():
        for option in sorted(secret_options(choice.name) & choice.options.keys()):
            if not _REFERENCE.fullmatch(str(choice.options[option])):
                raise ChannelError(
                    f"channel {name!r}, option {option!r}: a secret stands in a flow parameter, where Prefect keeps and"
                    f" shows it. Change the secret, keep the new one in the home as secrets/NAME (mode 600), and give"
                    f' "secret:NAME".'
                )


def _own_channels(settings: Settings) -> dict[str, ChannelChoice]:
    text, where = settings.channels.get_secret_value(), "EVERFEED_CHANNELS"
    if not text and settings.channels_file.exists():
        where = str(settings.channels_file)
        try:
            text = settings.channels_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ChannelError(f"{where} cannot be read: {type(error).__name__}. Correct or remove it.") from None
    if not text.strip():
        return {}
    try:
        return _CHOICES.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole text"
        raise ChannelError(
            f'{where}, {place}: {first["msg"]}. Expected {{"ops": {{"name": "slack", "options": {{"url": '
            '"secret:slack_url"}}}}, a name of your own for each channel.'
        ) from None  # the cause would show the text, secrets too


def _open(settings: Settings, name: str, choice: ChannelChoice) -> Channel:
    options = {key: _resolved(settings, name, value) for key, value in choice.options.items()}
    try:
        return open_channel(choice.name, options)
    except ChannelError as error:
        raise ChannelError(f"channel {name!r}: {error}") from None


def _resolved(settings: Settings, name: str, value: JsonValue) -> JsonValue:
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if reference is None:
        return value
    try:
        return settings.secret_file(reference["name"]).read_text().strip()
    except (OSError, ValueError) as error:
        raise ChannelError(
            f"channel {name!r}: the secret {reference['name']!r} cannot be read ({type(error).__name__}). Keep it in"
            f" {settings.root / 'secrets'}, in a file of this name with mode 600."
        ) from error

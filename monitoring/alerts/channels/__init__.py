"""PLUG-INS: one alert channel a module, each a class `Channel` with a nested `Config` and `send(alert)`."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel, SecretStr, ValidationError

from monitoring.alerts.alert import Alert, ChannelError
from recmodels.registry import Registry

CHANNELS = Registry("monitoring.alerts.channels", "Channel", "alert channel")
"""The alert channels: one module of this folder each."""


class Channel(Protocol):
    """What every channel is."""

    def send(self, alert: Alert) -> None:
        """Deliver an alert.

        Raises:
            DeliveryError: It did not arrive, or may not have.
        """
        ...


def secret_options(name: str) -> frozenset[str]:
    """Return the options of the channel called `name` that are secrets.

    Raises:
        UnknownNameError: No channel has this name.
    """
    config: type[BaseModel] = CHANNELS.module(name).Channel.Config
    return frozenset(key for key, field in config.model_fields.items() if field.annotation is SecretStr)


def open_channel(name: str, options: Mapping[str, object]) -> Channel:
    """Return the channel called `name` with its options checked.

    Raises:
        UnknownNameError: No channel has this name.
        ChannelError: An option is unknown or out of its range.
    """
    module = CHANNELS.module(name)
    config: type[BaseModel] = module.Channel.Config
    try:
        checked = config.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        known = ", ".join(config.model_fields)
        reason = f"alert channel {name!r}, {where}: {first['msg']}. Known options: {known}."
        raise ChannelError(reason) from None  # the cause would show what was given, secrets too
    channel: Channel = module.Channel(checked)
    return channel

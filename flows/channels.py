"""Which alert channels there are: a plug-in with its options, by name."""

from pydantic import BaseModel, ConfigDict, JsonValue

from infra.settings import Settings


class ChannelChoice(BaseModel):
    """An alert channel with its options, as a flow parameter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Plug-in."""
    options: dict[str, JsonValue] = {}
    """Its options."""


def default_channels(settings: Settings) -> dict[str, ChannelChoice]:
    """Return the channels that the settings name: a log in the home and, where its address is set, a webhook."""
    url = settings.webhook_url.get_secret_value()
    return log_channel(settings) | (webhook_channel(url) if url else {})


def log_channel(settings: Settings) -> dict[str, ChannelChoice]:
    """Return the channel that appends to a file in the home."""
    return {"log": ChannelChoice(name="log", options={"path": str(settings.reports / "alerts.jsonl")})}


def webhook_channel(url: str, *, name: str = "webhook") -> dict[str, ChannelChoice]:
    """Return a channel that posts to an address."""
    return {name: ChannelChoice(name="webhook", options={"url": url})}

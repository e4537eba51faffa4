"""Alert channel: whatever Apprise supports, by its URL; for services without a channel of their own here.

Apprise has no idempotency key and says only yes or no: a failure may have arrived, so a second copy is possible. Its
own log lines are switched off, since they may hold the address with its token.
"""

import logging

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from monitoring.alerts.alert import Alert, ChannelError, DeliveryError
from monitoring.alerts.wording import plain_text

_TYPES = {"resolved": "success", "acknowledged": "info"}


class Channel:
    """Sends alerts through Apprise."""

    class Config(BaseModel):
        """Where."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        url: SecretStr = Field(min_length=1)
        """Apprise's URL of one service, such as ``ntfy://topic``; it usually holds a token."""

    def __init__(self, config: Config) -> None:
        self.config = config
        try:
            import apprise  # half a second, which nobody else pays
        except ModuleNotFoundError as error:
            raise ChannelError("alert channel 'apprise' needs a package: pip install 'everfeed[apprise]'.") from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
        if not self._service.add(config.url.get_secret_value()):
            scheme = config.url.get_secret_value().partition("://")[0] if "://" in config.url.get_secret_value() else ""
            raise ChannelError(
                f"alert channel 'apprise', url: Apprise cannot read this address (scheme {scheme!r}; the rest is not"
                " shown). Its list of services says how each one is written."
            )

    def send(self, alert: Alert) -> None:
        """Notify once.

        Raises:
            DeliveryError: Apprise says no, or fails: always retryable, always ambiguous.
        """
        kind = _TYPES.get(alert.transition) or {"critical": "failure", "warning": "warning"}.get(alert.severity, "info")
        why = "it gave no reason"
        try:
            took = self._service.notify(title=alert.title, body=plain_text(alert), notify_type=kind, body_format="text")
        except Exception as error:  # noqa: BLE001 - a door: a plug-in of Apprise may raise anything
            took, why = False, type(error).__name__
        if not took:
            reason = f"Apprise did not deliver through {self._service[0].service_name}: {why}"
            raise DeliveryError(reason, is_retryable=True, is_ambiguous=True)

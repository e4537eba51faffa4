"""An alert channel of one's own: a line of Markdown an alert, in a file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from monitoring.alerts.alert import Alert, DeliveryError


class Channel:
    """Writes alerts down for a person to read."""

    class Config(BaseModel):
        """Options; those of type SecretStr are given as ``secret:NAME``, a file in the home's folder ``secrets``."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        path: Path
        """File to append to."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def send(self, alert: Alert) -> None:
        """Append one line.

        Raises:
            DeliveryError: The file cannot be written; the alert is tried again later.
        """
        line = f"- {alert.created_at:%Y-%m-%d %H:%M} **{alert.severity}** {alert.title} ({alert.transition})\n"
        try:
            with self.config.path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise DeliveryError(f"cannot append to {self.config.path}: {error.strerror}", is_retryable=True) from error

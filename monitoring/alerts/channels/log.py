"""Alert channel: one JSON line an alert, to a file or to the logger ``everfeed.alerts``."""

import json
import logging
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from monitoring.alerts.alert import Alert, DeliveryError

_LOGGER = logging.getLogger("everfeed.alerts")


class Channel:
    """Writes alerts as JSON lines."""

    class Config(BaseModel):
        """Where the lines go."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        path: Path | None = None
        """File to append to; None writes to the logger."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def send(self, alert: Alert) -> None:
        """Append one line, synced to disk where it is a file.

        Raises:
            DeliveryError: The file cannot be written.
        """
        line = json.dumps(alert.document(), ensure_ascii=False)
        if self.config.path is None:
            _LOGGER.warning("alert %s", line)
            return
        try:
            self.config.path.parent.mkdir(parents=True, exist_ok=True)
            with self.config.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = f"cannot append to {self.config.path}: {error.strerror}"
            raise DeliveryError(reason, is_retryable=True, is_ambiguous=True) from error

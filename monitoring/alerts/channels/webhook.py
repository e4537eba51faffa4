"""Alert channel: one HTTP POST of JSON an alert, with its key in the header ``Idempotency-Key``."""

import hashlib
import hmac
import json

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from monitoring.alerts.alert import Alert
from monitoring.alerts.posting import Poster


class Channel:
    """Posts alerts to an address."""

    class Config(BaseModel):
        """Where, and how to prove who sends."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        url: AnyHttpUrl
        """Address, http or https."""
        timeout_seconds: float = Field(5, gt=0, le=20)
        """Longest wait for a connection, and for the answer."""
        token: SecretStr = SecretStr("")
        """Sent as a bearer token where it is not empty."""
        signing_key: SecretStr = SecretStr("")
        """Where it is not empty, ``X-Everfeed-Signature`` holds ``sha256=`` and the HMAC-SHA-256 of the body."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._poster = Poster(str(config.url), timeout_seconds=config.timeout_seconds)

    def send(self, alert: Alert) -> None:
        """Post one alert; any 2xx answer is a delivery. Redirects are not followed.

        Raises:
            DeliveryError: As `Poster.post` says.
        """
        body = json.dumps(alert.document(), ensure_ascii=False).encode()
        self._poster.post(body, self._headers(alert, body))

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": alert.key}
        token, key = self.config.token.get_secret_value(), self.config.signing_key.get_secret_value()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["X-Everfeed-Signature"] = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        return headers

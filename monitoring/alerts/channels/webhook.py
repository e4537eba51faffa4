"""Alert channel: one HTTP POST of JSON an alert, with its key in the header ``Idempotency-Key``."""

import hashlib
import hmac
import json

import httpx
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from monitoring.alerts.alert import Alert, DeliveryError

_RETRYABLE = {408, 409, 425, 429}


class Channel:
    """Posts alerts to an address."""

    class Config(BaseModel):
        """Where, and how to prove who sends."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        url: AnyHttpUrl
        """Address, http or https."""
        timeout_seconds: float = Field(5, gt=0, le=60)
        """Longest wait for a connection, and for the answer."""
        token: SecretStr = SecretStr("")
        """Sent as a bearer token where it is not empty."""
        signing_key: SecretStr = SecretStr("")
        """Where it is not empty, ``X-Everfeed-Signature`` holds ``sha256=`` and the HMAC-SHA-256 of the body."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def send(self, alert: Alert) -> None:
        """Post one alert; any 2xx answer is a delivery. Redirects are not followed.

        Raises:
            DeliveryError: No connection or 408, 409, 425, 429 or 5xx (retryable); no answer in time or a connection
                lost after sending (retryable and ambiguous); any other answer (not retryable).
        """
        body = json.dumps(alert.document(), ensure_ascii=False).encode()
        where = f"{self.config.url.host}:{self.config.url.port}"
        try:
            answer = httpx.post(
                str(self.config.url),
                content=body,
                headers=self._headers(alert, body),
                timeout=self.config.timeout_seconds,
                follow_redirects=False,
                trust_env=False,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            reason = f"{where} cannot be reached: {type(error).__name__}"
            raise DeliveryError(reason, is_retryable=True) from error
        except httpx.TransportError as error:
            reason = f"{where} did not answer: {type(error).__name__}"
            raise DeliveryError(reason, is_retryable=True, is_ambiguous=True) from error
        if not answer.is_success:
            retryable = answer.status_code in _RETRYABLE or answer.status_code >= 500
            raise DeliveryError(f"{where} answered {answer.status_code}", is_retryable=retryable)

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": alert.key}
        token, key = self.config.token.get_secret_value(), self.config.signing_key.get_secret_value()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["X-Everfeed-Signature"] = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        return headers

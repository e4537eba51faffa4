"""Alert channel: one email an alert, as text and HTML, over SMTP; those of one incident stand in one thread.

The Message-ID is made from the alert's key, so a second copy has the same one, and mail stores that know it drop it.
All messages of an incident refer to one root and share a subject, which is what mail readers group by.
"""

import contextlib
import logging
import smtplib
import ssl
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from monitoring.alerts.alert import Alert, DeliveryError
from monitoring.alerts.mail import message_of
from monitoring.alerts.posting import MISCONFIGURED_SECONDS

_log = logging.getLogger(__name__)

Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$")]


class Security(StrEnum):
    """How the connection to the server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Channel:
    """Sends alerts as emails."""

    class Config(BaseModel):
        """Through which server, from whom, to whom."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        host: str = Field(min_length=1)
        """Server."""
        port: int = Field(587, ge=1, le=65535)
        """Usually 587 with starttls, 465 with tls, 25 with none."""
        security: Security = Security.STARTTLS
        """``starttls`` (required, never given up), ``tls`` from the first byte, or ``none``."""
        user: str = ""
        """Name to log in with; empty logs in as nobody."""
        password: SecretStr = SecretStr("")
        """Password of `user`."""
        sender: Address
        """Address that the emails come from."""
        recipients: tuple[Address, ...] = Field(min_length=1)
        """Addresses that they go to."""
        ca_file: Path | None = None
        """Certificates (PEM) that the server's is checked with; None takes the system's."""
        timeout_seconds: float = Field(10, gt=0, le=20)
        """Longest wait for a connection, and for each answer."""

        @model_validator(mode="after")
        def _protect_the_password(self) -> Self:
            if self.user and self.security is Security.NONE and self.host not in {"localhost", "127.0.0.1", "::1"}:
                raise ValueError("a password is not sent in the clear to another machine: use starttls or tls")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self._tls: ssl.SSLContext | None = None
        self._making = Lock()

    def send(self, alert: Alert) -> None:
        """Send one email. It is a delivery when the server takes it for at least one recipient.

        Raises:
            DeliveryError: The server refused the message itself (5xx after DATA): for good. A wrong login, sender,
                recipient or certificate: tried again seldom. A connection lost while sending: ambiguous.
        """
        message = message_of(alert, sender=self.config.sender, recipients=self.config.recipients)
        is_sending = False
        try:
            with self._connected() as server:
                is_sending = True
                refused = server.send_message(message, self.config.sender, list(self.config.recipients))
        except (smtplib.SMTPException, OSError) as error:
            raise self._failure(error, is_sending=is_sending) from error
        if refused:
            codes = ", ".join(sorted({str(code) for code, _ in refused.values()}))
            _log.warning("%d of %d recipients refused (%s)", len(refused), len(self.config.recipients), codes)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """Open a session, logged in; an error while it ends is not an error of what was sent in it."""
        config, own = self.config, self.config.sender.rsplit("@", 1)[1]
        if config.security is Security.TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, own, timeout=config.timeout_seconds, context=self._context()
            )
        else:
            server = smtplib.SMTP(config.host, config.port, own, timeout=config.timeout_seconds)
        try:
            if config.security is Security.STARTTLS:
                server.starttls(context=self._context())
            if config.user:
                server.login(config.user, config.password.get_secret_value())
            yield server
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()

    def _context(self) -> ssl.SSLContext:
        with self._making:  # it takes 30 ms to make, and is needed by the first connection only
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self.config.ca_file)
        return self._tls

    def _failure(self, error: Exception, *, is_sending: bool) -> DeliveryError:
        """Word an error without what the server said: its answer may name addresses."""
        where = f"{self.config.host}:{self.config.port}"
        match error:
            case smtplib.SMTPRecipientsRefused():
                codes = {code for code, _ in error.recipients.values()}
                return _by_code(max(codes), f"{where} refused every recipient ({', '.join(map(str, sorted(codes)))})")
            case smtplib.SMTPDataError():
                reason = f"{where} refused the message ({error.smtp_code})"
                return DeliveryError(reason, is_retryable=error.smtp_code < 500)
            case smtplib.SMTPAuthenticationError() | smtplib.SMTPSenderRefused():
                what = "login" if isinstance(error, smtplib.SMTPAuthenticationError) else "sender"
                return _by_code(error.smtp_code, f"{where} refused the {what} ({error.smtp_code})")
            case smtplib.SMTPResponseException():
                return DeliveryError(f"{where} answered {error.smtp_code}", is_retryable=True)
            case smtplib.SMTPNotSupportedError() | ssl.SSLCertVerificationError():
                reason = f"{where} offers no {self.config.security} that can be trusted: {type(error).__name__}"
                return DeliveryError(reason, is_retryable=True, retry_after_seconds=MISCONFIGURED_SECONDS)
        words = "did not answer" if is_sending else "cannot be reached"
        return DeliveryError(f"{where} {words}: {type(error).__name__}", is_retryable=True, is_ambiguous=is_sending)


def _by_code(code: int, reason: str) -> DeliveryError:
    """Return a failure that only a person can change (5xx), or one that passes (4xx)."""
    return DeliveryError(reason, is_retryable=True, retry_after_seconds=MISCONFIGURED_SECONDS if code >= 500 else None)

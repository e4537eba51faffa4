"""S3-compatible object stores: how each library is told where one is, and what its errors mean."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from recmodels.errors import StoreError

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

_PLACE: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[A-Za-z0-9._-]+)*)/?")
_CONNECT_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 30
_RETRIES: Final = 3
_RETRY_SECONDS: Final = 20
_KEYS: Final = (
    "EVERFEED_S3_ACCESS_KEY_ID and EVERFEED_S3_SECRET_ACCESS_KEY (or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
)
_ENDPOINT: Final = "EVERFEED_S3_ENDPOINT (or AWS_ENDPOINT_URL)"
_CAUSES: Final = (
    (("nosuchbucket",), "has no such bucket", "Make the bucket, or correct the URL."),
    (
        ("expiredtoken", "tokenrefreshrequired"),
        "says that the credentials have expired",
        f"Renew {_KEYS} and the token.",
    ),
    (("invalidtoken",), "does not take the session token", "Correct or unset EVERFEED_S3_SESSION_TOKEN."),
    (("invalidaccesskeyid", "unrecognizedclient"), "does not know the access key", f"Correct {_KEYS}."),
    (("signaturedoesnotmatch", "incompletesignature"), "does not take the secret key", f"Correct {_KEYS}."),
    (("requesttimetooskewed",), "says that this machine's clock is wrong", "Set the clock."),
    (
        ("permanentredirect", "authorizationheadermalformed", "incorrectregion", "illegallocationconstraint"),
        "is in another region",
        "Correct EVERFEED_S3_REGION (or AWS_REGION).",
    ),
    (("url scheme is not allowed",), "is named by a plain http address", f"Give https in {_ENDPOINT}."),
    (
        ("unabletolocatecredentials", "nocredentials", "unable to locate credentials", "instance metadata", "169.254."),
        "was asked without credentials",
        f"Set {_KEYS}.",
    ),
    (
        ("accessdenied", "forbidden", "allaccessdisabled", "lacked the necessary privileges"),
        "does not allow it",
        "Let the key's policy list, read, write and delete there.",
    ),
    (("notimplemented", "conditional"), "lacks conditional writes", "Use one that knows If-None-Match, as S3 does."),
    (("slowdown", "serviceunavailable", "503 service"), "asks for fewer requests", "Run it again later."),
    (
        (
            *("networkconnection", "client error (connect)", "could not connect", "connectionclosed", "dns error"),
            *("endpointconnection", "connecttimeout", "could not resolve", "operation timed out", "connection refused"),
            *("connection reset", "error sending request", "readtimeout"),
        ),
        "does not answer",
        f"Is it up, and is {_ENDPOINT} right?",
    ),
)


@dataclass(frozen=True)
class ObjectStore:
    """One S3-compatible store; what is empty is looked for where the AWS libraries look: profiles, roles, metadata.

    Attributes:
        endpoint: Address, for a store that is not AWS; empty for AWS.
        region: Region; empty for the libraries' own.
        access_key_id: Public part of the key.
        secret_access_key: Secret part of it; never shown.
        session_token: Of temporary credentials; never shown.
    """

    endpoint: str = ""
    region: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    def delta_options(self) -> dict[str, str]:
        """Return the options of deltalake: a commit is a conditional put, and an error is told within seconds."""
        named = {
            "aws_endpoint_url": self.endpoint,
            "aws_region": self.region or ("us-east-1" if self.endpoint else ""),
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_session_token": self.session_token,
            "allow_http": "true" if self.endpoint.startswith("http://") else "",
        }
        return {name: value for name, value in named.items() if value} | {
            "conditional_put": "etag",
            "connect_timeout": f"{_CONNECT_SECONDS}s",
            "timeout": f"{_REQUEST_SECONDS}s",
            "max_retries": str(_RETRIES),
            "retry_timeout": f"{_RETRY_SECONDS}s",
            "backoff_config.init_backoff": "100ms",
            "backoff_config.max_backoff": "2s",
        }

    def filesystem(self) -> "S3FileSystem":
        """Return pyarrow's view of the store, as DuckDB reads through it."""
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            access_key=self.access_key_id or None,
            secret_key=self.secret_access_key or None,
            session_token=self.session_token or None,
            region=self.region or ("us-east-1" if self.endpoint else None),
            endpoint_override=self.endpoint or None,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_RETRIES),
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that boto3 reads, and MLflow through it, in every process of the platform."""
        named = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region or ("us-east-1" if self.endpoint else ""),
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }
        found = {name: value for name, value in named.items() if value}
        return found | {"AWS_MAX_ATTEMPTS": str(_RETRIES), "AWS_RETRY_MODE": "standard"}

    def explanation(self, url: str, error: Exception) -> str:
        """Say what an error of any of the libraries means and what to do; empty where it is not about the store.

        The library's own words are left out: a store's answer may repeat keys and tokens.
        """
        text = str(error).lower()
        plain = text.replace("_", "")
        for marks, what, advice in _CAUSES:
            if any(mark in text or mark in plain for mark in marks):
                return f"{url}: the object store{f' at {self.endpoint}' if self.endpoint else ''} {what}. {advice}"
        return ""


def is_url(place: str) -> bool:
    """Say whether a place is in an object store rather than a folder."""
    return "://" in place


def checked_url(url: str, *, variable: str) -> str:
    """Return the URL of a place in an S3-compatible store, without a slash at its end.

    Raises:
        StoreError: It is none.
    """
    if not _PLACE.fullmatch(url):
        shown = re.sub(r"://.*@", "://***@", url)
        raise StoreError(
            f"{variable} is {shown!r}. Expected a folder, or s3://bucket/prefix with letters, digits, dots, dashes and"
            " underscores alone; the store's address and key have settings of their own, EVERFEED_S3_ENDPOINT and"
            " the like."
        )
    return url.rstrip("/")

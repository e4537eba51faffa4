"""An address that is itself a secret, as those of incoming webhooks are."""

from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, SecretStr, TypeAdapter, ValidationError

_HTTP = TypeAdapter(AnyHttpUrl)


def _require_http(value: SecretStr) -> SecretStr:
    try:
        _HTTP.validate_python(value.get_secret_value())
    except ValidationError:
        raise ValueError("it is no http or https address") from None  # the cause would show the address
    return value


SecretHttpUrl = Annotated[SecretStr, AfterValidator(_require_http)]
"""An http or https address that is never shown."""

"""Bodies as endpoints see them: JSON decoded into a message or refused, and messages encoded."""

from typing import TypeVar

import msgspec

from infra.serving.calls import Answer
from infra.serving.problems import not_json, not_valid

T = TypeVar("T", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the message that a body holds.

    Raises:
        RefusedError: 422, it has another shape; 400, it is no JSON.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise not_valid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


def encoded(answer: msgspec.Struct, *, status: int = 200) -> Answer:
    """Return a message as an answer."""
    return Answer(_encode(answer), status)

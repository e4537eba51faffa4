"""One request as an endpoint sees it, and its answer: plain values instead of objects of a framework."""

import msgspec
from starlette.types import Scope

JSON = b"application/json"

Headers = tuple[tuple[bytes, bytes], ...]


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request that was let in.

    Attributes:
        scope: As ASGI gives it.
        body: The whole body; empty for a method without one.
    """

    scope: Scope
    body: bytes = b""

    def header(self, name: bytes) -> str:
        """Return the first header of this name, which is in lower case; empty where there is none."""
        values = (value.decode("latin-1") for key, value in self.scope["headers"] if key == name)
        return next(values, "")

    @property
    def client(self) -> str:
        """Address of the other end of the connection; empty where it has none."""
        return self.scope["client"][0] if self.scope.get("client") else ""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What goes back."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Headers = ()

"""What a client reads in an answer, found in its bytes: parsing JSON would cost more than sending the request."""

_REQUEST = b'"request_id":"'
_ITEM = b'"item_id":"'
FEEDBACK_PATH = "/v1/feedback"


def request_id(body: bytes) -> str:
    """Return the id of an answer."""
    return _text_after(body, _REQUEST)


def item_ids(body: bytes) -> list[str]:
    """Return the items of an answer, in their order."""
    return [piece.split(b'"', 1)[0].decode() for piece in body.split(_ITEM)[1:]]


def first_item(body: bytes) -> str:
    """Return the first item of an answer."""
    return _text_after(body, _ITEM)


def click(event_id: str, request: str, item: str) -> bytes:
    """Return the body that reports a click."""
    event = f'{{"event_id":"{event_id}","request_id":"{request}","item_id":"{item}","kind":"clicked"}}'
    return f'{{"events":[{event}]}}'.encode()


def _text_after(body: bytes, mark: bytes) -> str:
    start = body.index(mark) + len(mark)
    return body[start : body.index(b'"', start)].decode()

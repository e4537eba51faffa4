"""What the control room asks the gateway: who serves, and what both models would answer to a user."""

import httpx
import msgspec

from infra.console.calls import open_client
from infra.serving.schemas import ErrorResponse, ExplainRequest, ExplainResponse, StatusResponse
from recmodels.errors import StoreError

_TIMEOUT_SECONDS = 2.0


class GatewayClient:
    """A client of the gateway's HTTP interface.

    Args:
        url: Address of the gateway.
        token: What a caller from another machine must know.
    """

    def __init__(self, url: str, *, token: str) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {token}"}
        self._client = open_client(url, timeout_seconds=_TIMEOUT_SECONDS, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def status(self) -> StatusResponse:
        """Return who serves.

        Raises:
            StoreError: The gateway does not answer.
        """
        return msgspec.json.decode(await self._ask("GET", "/v1/status"), type=StatusResponse)

    async def explain(self, request: ExplainRequest) -> ExplainResponse:
        """Return what both models would answer.

        Raises:
            StoreError: The gateway does not answer, or refuses; the message says why.
        """
        body = await self._ask("POST", "/v1/explain", content=msgspec.json.encode(request))
        return msgspec.json.decode(body, type=ExplainResponse)

    async def _ask(self, method: str, path: str, *, content: bytes | None = None) -> bytes:
        try:
            response = await self._client.request(method, path, content=content)
        except httpx.HTTPError as error:
            raise StoreError(
                f"the gateway at {self._url} does not answer ({type(error).__name__}). Start it with `everfeed up`."
            ) from error
        if response.status_code != httpx.codes.OK:
            raise StoreError(_words(response))
        return response.content


def _words(response: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(response.content, type=ErrorResponse).error
    except msgspec.DecodeError:
        return f"the gateway answered with status {response.status_code}. Look at its log."
    return f"{problem.what}: {problem.expected}; {problem.what_to_do}."

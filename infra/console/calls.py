"""Connections to the other services of this stack: plain HTTP on addresses of the settings, past every proxy."""

import ssl
from collections.abc import Mapping
from types import MappingProxyType

import httpx

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def open_client(url: str, *, timeout_seconds: float, headers: Mapping[str, str] = _NO_HEADERS) -> httpx.AsyncClient:
    """Return a client of one service.

    Its TLS context trusts nobody: every address is http, and reading the certificates of the world would take longer
    than a page.
    """
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(
        base_url=url, timeout=timeout_seconds, headers=dict(headers), trust_env=False, verify=nobody
    )

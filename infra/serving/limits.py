"""How many requests one client may send: one bucket an address, in memory that all workers share.

The generic cell rate algorithm is a token bucket in one number: the moment at which the bucket will be full again. The
table never grows and nothing is ever removed from it. Two addresses share a bucket when their keyed hashes agree: of
1000 active clients 8 do, and nobody can bring it about on purpose. Two workers that write one bucket in the same
microsecond may let one request more pass.

Source: ITU-T I.371 (2004), appendix I; the virtual scheduling form.
"""

import hashlib
import ipaddress
import math
import mmap
from functools import lru_cache

from infra.serving.problems import RefusedError

BUCKETS = 1 << 17
BYTES = 8 * BUCKETS
"""Size of the memory."""

BURST_SECONDS = 1.0
"""A client that was silent may send what it may send in this time at once, and one request at least."""

_ROUNDING_SECONDS = 1e-6

_EVERYBODY = "everybody"
"""No address: the bucket of all clients together."""


class RateLimiter:
    """Counts requests by client address; an IPv6 client is its network of 64 bits, since it owns all of it.

    Args:
        per_second: Requests a second that a client may send.
        memory: Descriptor of a file of at least `BYTES` bytes; workers that are given the same one count together.
        secret: Key of the hash that chooses the bucket.
    """

    def __init__(self, per_second: float, *, memory: int, secret: bytes) -> None:
        self._interval = 1.0 / per_second
        self._slack = max(BURST_SECONDS, self._interval) - self._interval + _ROUNDING_SECONDS
        self._full_at = memoryview(mmap.mmap(memory, BYTES)).cast("d")
        self._key = hashlib.sha256(b"rate limit" + secret).digest()
        self._bucket = lru_cache(maxsize=4096)(self._find_bucket)

    def wait_seconds(self, client: str, now: float) -> float:
        """Count a request and return 0.0, or leave it uncounted and return how long the client has to wait.

        Args:
            client: Its address.
            now: Seconds of the clock that all workers share: `time.monotonic`.
        """
        bucket = self._bucket(client)
        full_at = max(self._full_at[bucket], now)
        if full_at - now > self._slack:
            return full_at - now - self._slack
        self._full_at[bucket] = full_at + self._interval
        return 0.0

    def check(self, client: str, now: float) -> None:
        """Count a request.

        Raises:
            RefusedError: 429, the client has to wait.
        """
        wait = self.wait_seconds(client, now)
        if wait > 0.0:
            raise RefusedError(
                429,
                "too many requests from this address",
                where="client address",
                expected=f"at most {1 / self._interval:g} requests a second",
                what_to_do=f"wait {math.ceil(wait)} s; whoever runs the gateway sets EVERFEED_GATEWAY_RATE_PER_SECOND",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    def check_all(self, now: float) -> None:
        """Count a request against what all clients together may send.

        Raises:
            RefusedError: 429, the quota is used up.
        """
        wait = self.wait_seconds(_EVERYBODY, now)
        if wait > 0.0:
            raise RefusedError(
                429,
                "too many requests for this tenant's quota",
                where="gateway",
                expected=f"at most {1 / self._interval:g} requests a second from all clients together",
                what_to_do=f"wait {math.ceil(wait)} s; whoever runs the gateway sets EVERFEED_QUOTAS",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    def _find_bucket(self, client: str) -> int:
        if ":" in client:
            client = str(ipaddress.ip_network((client.partition("%")[0], 64), strict=False))
        return int.from_bytes(hashlib.blake2b(client.encode(), digest_size=8, key=self._key).digest()) % BUCKETS


class Limits:
    """What one client may send, and what all of them together may; 0 for no limit.

    Args:
        per_client: Requests a second of one client.
        per_tenant: Requests a second of all clients.
        memory: Descriptor of a file of at least `BYTES` bytes, which both share: their buckets differ.
        secret: Key of the hash that chooses the bucket.
    """

    def __init__(self, *, per_client: float, per_tenant: float, memory: int, secret: bytes) -> None:
        self._per_client = RateLimiter(per_client, memory=memory, secret=secret) if per_client else None
        self._per_tenant = RateLimiter(per_tenant, memory=memory, secret=secret) if per_tenant else None

    def check(self, client: str, now: float) -> None:
        """Count a request; one that its client may not send costs the others nothing.

        Raises:
            RefusedError: 429, the client or all of them have to wait.
        """
        if self._per_client is not None:
            self._per_client.check(client, now)
        if self._per_tenant is not None:
            self._per_tenant.check_all(now)

"""The sender of webhooks, over kept-alive connections."""

import hashlib
import hmac
import time
from contextlib import suppress
from logging import getLogger

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from psp.models import Entry, Lie
from psp.schemas import Event

TIMEOUT = ClientTimeout(total=5, connect=2)
IDLE_SECONDS = 4.0
"""Shorter than any receiver keeps a connection, so that it is not closing when the next event is sent."""
ADDRESS_SECONDS = 3
"""How long the address of the receiver's name is used: a container that is created again may get another."""

log = getLogger(__name__)


def signature(secret: str, body: bytes, at: int) -> str:
    """Returns the value of `Psp-Signature`: `t=<unix time>,v1=<hex HMAC-SHA-256 of "<t>.<raw body>">`."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class HttpWebhookSender:
    """Sends to one receiver. Call `close` at the end.

    The first failure is logged, and the first success after it; a webhook that fails is sent again.
    """

    def __init__(self, url: str, secret: str, connections: int) -> None:
        self._url = url
        self._secret = secret
        self._failing = False
        connector = TCPConnector(limit=connections, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=ADDRESS_SECONDS)
        self._session = ClientSession(timeout=TIMEOUT, connector=connector)

    async def send(self, entry: Entry) -> bool:
        try:
            status = await self._post(Event.of(entry), self._secret, time.time())
        except (ClientError, TimeoutError) as error:
            self._fails(repr(error))
            return False
        if 200 <= status < 300:
            self._works()
            return True
        self._fails(f"answered {status}")
        return False

    async def lie(self, lie: Lie) -> None:
        with suppress(ClientError, TimeoutError):
            secret = "" if lie.forged else self._secret
            await self._post(Event.of(lie.entry), secret, time.time() - lie.age)

    async def _post(self, event: Event, secret: str, at: float) -> int:
        """Returns the status of the answer."""
        body = event.model_dump_json().encode()
        headers = {"Content-Type": "application/json", "Psp-Signature": signature(secret, body, int(at))}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            return answer.status

    def _fails(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            log.warning("sending webhooks fails: %s", why)

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            log.info("sending webhooks works again")

    async def close(self) -> None:
        await self._session.close()

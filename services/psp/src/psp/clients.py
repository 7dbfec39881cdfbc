"""The sender of webhooks, over kept-alive connections."""

import hashlib
import hmac
import time
from logging import getLogger

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from psp.models import Entry
from psp.schemas import Event

TIMEOUT = ClientTimeout(total=5, connect=2)
IDLE_SECONDS = 4.0
"""Shorter than any receiver keeps a connection, so that it is not closing when the next event is sent."""

log = getLogger(__name__)


def signature(secret: str, body: bytes, at: int) -> str:
    """Returns the value of `Psp-Signature`: `t=<unix time>,v1=<hex HMAC-SHA-256 of "<t>.<raw body>">`."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class HttpWebhookSender:
    """Sends to one receiver. Call `close` at the end."""

    def __init__(self, url: str, secret: str, connections: int) -> None:
        self._url = url
        self._secret = secret
        connector = TCPConnector(limit=connections, keepalive_timeout=IDLE_SECONDS)
        self._session = ClientSession(timeout=TIMEOUT, connector=connector)

    async def send(self, entry: Entry) -> bool:
        body = Event.of(entry).model_dump_json().encode()
        headers = {
            "Content-Type": "application/json",
            "Psp-Signature": signature(self._secret, body, int(time.time())),
        }
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                if 200 <= answer.status < 300:
                    return True
                log.warning("the webhook of %s was answered %d", entry.id, answer.status)
        except (ClientError, TimeoutError) as error:
            log.warning("the webhook of %s failed: %r", entry.id, error)
        return False

    async def close(self) -> None:
        await self._session.close()

"""The HTTP client of catalog."""

import logging
import time
from urllib.parse import quote

from chassis.errors import Unavailable
from chassis.http import HttpClient
from chassis.outage import Outage
from chassis.waiting import seconds_left

__all__ = ["TIMEOUT", "CatalogClient"]

log = logging.getLogger(__name__)

TIMEOUT = 0.3
KNOWN_SECONDS = 60
KNOWN_SKUS = 8192
REST_SECONDS = 2
"""How long catalog is not called after a failed call, so that carts stay fast during its outage."""


class CatalogClient:
    """Remembers for a minute which products exist, so that nearly every change of a cart needs no request."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._known: dict[str, float] = {}
        self._rests_until = 0.0
        self._outage = Outage(log, "catalog, which knows the products")

    async def has(self, sku: str) -> bool:
        """Returns whether this product can be bought; also True if catalog does not respond in time.

        Raises Unavailable at the deadline of the request, which is no sign of a failure of catalog.
        """
        now = time.monotonic()
        if self._known.get(sku, 0) > now or self._rests_until > now:
            return True
        try:
            answer = await self._http.request("GET", f"/api/catalog/products/{quote(sku)}")
        except Unavailable as error:
            if seconds_left() == 0:
                raise
            self._rests_until = now + REST_SECONDS
            self._outage.failed(error.detail.partition(";")[0])
            return True
        self._outage.over()
        if answer.status == 200:
            self._remember(sku, now + KNOWN_SECONDS)
        return not (answer.status == 404 and b"/unknown-sku" in answer.body)  # any other 404 means a wrong address

    def _remember(self, sku: str, until: float) -> None:
        if len(self._known) >= KNOWN_SKUS:
            for old in list(self._known)[: KNOWN_SKUS // 4]:
                del self._known[old]
        self._known.pop(sku, None)  # the dictionary keeps the oldest first
        self._known[sku] = until

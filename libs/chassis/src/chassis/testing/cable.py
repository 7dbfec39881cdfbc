"""A connection to a store that a test can cut, mend and reset."""

from typing import Self
from urllib.parse import urlsplit

from chassis.local.forwarding import Forwarder
from chassis.local.processes import free_ports

__all__ = ["Cable"]


class Cable(Forwarder):
    """Forwards TCP connections from `url`, which is the given URL on another port, to the store."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        assert self._to.hostname
        assert self._to.port
        super().__init__(self._to.hostname, self._to.port)
        (self._port,) = free_ports(1)
        user = self._to.netloc.rpartition("@")[0]
        self.url = self._to._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await self.ended()

    async def mend(self) -> None:
        await self.listen(self._port)

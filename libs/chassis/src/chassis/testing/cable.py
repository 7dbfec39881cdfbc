"""A connection to a store that a test can cut, mend and reset."""

import asyncio
import contextlib
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Cable"]

AT_ONCE = struct.pack("ii", 1, 0)


class Cable:
    """Forwards TCP connections from `url`, which is the given URL on another port, to the store."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await asyncio.gather(*filter(None, self._tasks))

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        user = self._to.netloc.rpartition("@")[0]
        self.url = self._to._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    async def cut(self) -> None:
        """Ends all connections, and accepts no new ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def reset(self) -> None:
        """Ends all connections with an RST, as a restarted machine does; new ones are accepted."""
        for writer in self._writers:
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, AT_ONCE)
                writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

"""Forwards TCP connections to a server, so that they can be watched, held up, cut and reset on their way."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

__all__ = ["Forwarder", "Passing"]

Passing = Callable[[bytes, bool], Awaitable[None]]
"""Called with bytes before they are passed on, and whether the server sent them; at their end with none.

OSError ends their connection.
"""

AT_ONCE = struct.pack("ii", 1, 0)
CONNECT_SECONDS = 5.0
SO_MARK = 36


async def unchanged(data: bytes, answer: bool) -> None:
    """Passes everything on."""


class Forwarder:
    """Listens on 127.0.0.1, and forwards each connection to `host`:`port`.

    `connected` is called for each connection, and returns what its bytes pass through. With `mark`, its connections to
    the server have this mark for the packet filter, which only root may set.
    """

    def __init__(
        self, host: str, port: int, connected: Callable[[], Passing] = lambda: unchanged, mark: int | None = None
    ) -> None:
        self._address = host, port
        self._connected = connected
        self._mark = mark
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def listen(self, port: int = 0) -> int:
        """Accepts connections, and returns the port: `port`, or a free one."""
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", port)
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

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
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                writer.transport.abort()

    async def ended(self) -> None:
        """Returns once no connection is left."""
        await asyncio.gather(*filter(None, self._tasks))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        ours = {writer}
        self._tasks.add(task)
        self._writers |= ours
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await self._open()
            ours.add(far_writer)
            self._writers |= ours
            passing = self._connected()
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, far_writer, passing, answer=False))
                pumps.create_task(_pump(far_reader, writer, passing, answer=True))
        except* OSError:
            for each in ours:
                each.transport.abort()
        finally:
            for each in ours:
                each.close()
            self._writers -= ours
            self._tasks.discard(task)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._mark is None:
            return await asyncio.open_connection(*self._address)
        marked = socket.socket()
        try:
            marked.setblocking(False)
            marked.setsockopt(socket.SOL_SOCKET, SO_MARK, self._mark)
            await asyncio.get_running_loop().sock_connect(marked, self._address)
            return await asyncio.open_connection(sock=marked)
        except BaseException:
            marked.close()
            raise


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: Passing, *, answer: bool) -> None:
    while data := await reader.read(65536):
        await passing(data, answer)
        writer.write(data)
        await writer.drain()
    await passing(b"", answer)
    if not writer.is_closing():
        writer.write_eof()

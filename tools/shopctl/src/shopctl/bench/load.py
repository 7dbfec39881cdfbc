"""The load generator: sends prepared HTTP/1.1 requests over persistent connections and records when each is answered.

It is a separate process, so that its CPU time is not counted. It reads a Job as JSON and writes Answers as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import cycle

import msgspec
import uvloop

__all__ = ["Answer", "Job"]


class Job(msgspec.Struct):
    """The requests to send: once each, or repeatedly for `seconds`.

    Each connection sends its next request after the answer or, with `rate`, at a fixed number of requests per second.
    """

    host: str
    port: int
    requests: list[str]
    connections: int
    rate: float | None = None
    seconds: float | None = None
    keep_bodies: bool = True


class Answer(msgspec.Struct, array_like=True):
    """The answer to one request. `request` is its index in the job.

    `at` is the time when sending began, in seconds since 1970, and `took` the time until the answer was complete, in
    seconds. `status` is 0 without an answer.
    """

    request: int
    at: float
    took: float
    status: int
    body: str


class Connection:
    """A persistent connection, which is opened again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            if found:
                body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
            else:
                body = await _chunks(reader) if b"\r\ntransfer-encoding: chunked" in head else b""
            if b"\r\nconnection: close" in head:
                self.close()
            return int(head.split(b" ", 2)[1]), body
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return 0, b""

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Reads a body in chunks (RFC 9112, 7.1), without trailers."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def run(job: Job) -> list[Answer]:
    answers: list[Answer] = []
    requests = [request.encode() for request in job.requests]
    began = time.monotonic()
    turns = _turns(job, began)

    async def work() -> None:
        connection = Connection(job.host, job.port)
        for turn, index in turns:
            if job.rate is not None:
                await asyncio.sleep(max(0.0, began + turn / job.rate - time.monotonic()))
            at, start = time.time(), time.monotonic()
            status, body = await connection.send(requests[index])
            text = body.decode() if job.keep_bodies else ""
            answers.append(Answer(index, at, time.monotonic() - start, status, text))
        connection.close()

    await asyncio.gather(*(work() for _ in range(job.connections)))
    return answers


def _turns(job: Job, began: float) -> Iterator[tuple[int, int]]:
    """Yield (number of the turn, index of the request); all connections share the iterator."""
    every = range(len(job.requests))
    for turn, index in enumerate(every if job.seconds is None else cycle(every)):
        if job.seconds is not None and time.monotonic() - began > job.seconds:
            return
        yield turn, index


if __name__ == "__main__":
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    # Not sys.stdout.buffer, which has no buffer under PYTHONUNBUFFERED: an unbuffered write may write only a part, and
    # with libuv's io_uring the kernel does so while a write waits for a reader.
    with open(1, "wb", closefd=False) as stdout:
        stdout.write(msgspec.json.encode(uvloop.run(run(job))))

"""Snapshots of the shop on this machine: `/metrics` of each process, the queues, and what `shopctl status` shows."""

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import aio_pika
import aiohttp
from aio_pika.abc import AbstractConnection

from chassis.local.processes import StartError
from chassis.messaging.connection import close
from shopctl import broker
from shopctl.shop import Row, Shop
from shopctl.top.series import Series, parse
from shopctl.top.snapshot import Process, Snapshot
from shopctl.topology import Queue
from shopctl.topology import queues as queues_of

__all__ = ["Direct"]

TIMEOUT = 1.5
"""Seconds that a process has for its answer."""
PATIENCE = 5.0
"""Seconds that RabbitMQ has to tell about all queues; until then the page shows what it told before."""
ROWS_EVERY = 3.0
"""Seconds between looks at processes and their memory, which take longer."""
REPLICA = re.compile(r"-\d+$")
MOST_BYTES = 8 * 1024 * 1024


IDLE = """The shop does not run on this machine; `make up` starts it.
For a shop on Kubernetes, forward its Prometheus to this machine and name its address:
    kubectl --namespace quayside port-forward service/prometheus 9090
    shopctl top --prometheus http://localhost:9090"""


class Direct:
    """The shop on this machine, inside an `async with` block."""

    window = 10.0

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._names = queues_of(shop.place.services)
        self._seen = Rows(shop)
        self._connection: AbstractConnection | None = None
        self._asking: asyncio.Task[Mapping[str, Queue | None] | None] | None = None
        self._known: Mapping[str, Queue | None] | None = None
        self._known_at = 0.0
        self._http: aiohttp.ClientSession | None = None
        self.title = f"{shop.runtime}  {shop.place.address}"

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT), trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=1)
        await self._disconnect()

    async def first(self) -> list[Snapshot]:
        """Two snapshots, a second apart. Raises StartError if nothing runs."""
        rows, _ = await asyncio.to_thread(self._seen.start)
        if all(row.state == "stopped" for row in rows):
            raise StartError(IDLE)
        before = await self.look()
        await asyncio.sleep(1)
        return [before, await self.look()]

    async def look(self) -> Snapshot:
        rows, addresses = self._seen.latest
        at = time.time()
        queues, processes = await asyncio.gather(
            self._queues(), asyncio.gather(*(self._process(row, addresses) for row in rows))
        )
        remarks = [self._seen.trouble] if self._seen.trouble else []
        tried = [each for each in processes if each.name in addresses]
        if self._shop.runtime == "compose" and tried and not any(each.up for each in tried):
            url = self._shop.place.prometheus_url or "URL, after `make up OBSERVE=1`"
            remarks.append(f"The containers' network cannot be reached. Try `shopctl top --prometheus {url}`.")
        return Snapshot(at, processes, queues, remarks)

    async def _process(self, row: Row, addresses: Mapping[str, tuple[str, int]]) -> Process:
        service, up, series = REPLICA.sub("", row.name), row.state == "ready", None
        if row.name in addresses:
            up, series = await self._scrape(*addresses[row.name])
        elif row.name == "edge" and "edge-exporter" in addresses:
            _, series = await self._scrape(*addresses["edge-exporter"])
        return Process(service, row.name, up, row.memory, series)

    async def _scrape(self, host: str, port: int) -> tuple[bool, Series | None]:
        """Whether a process answers, and its series."""
        assert self._http is not None
        try:
            async with self._http.get(f"http://{host}:{port}/metrics") as answer:
                body = await answer.content.read(MOST_BYTES)
                while chunk := await answer.content.read(MOST_BYTES):
                    body += chunk
            return True, parse(body.decode()) if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False, None

    async def _queues(self) -> Mapping[str, Queue | None] | None:
        """The queues, as they were a few seconds ago if RabbitMQ is slow; None if it does not answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="queues")
        done, _ = await asyncio.wait({self._asking}, timeout=TIMEOUT)
        if done:
            self._known, self._known_at = self._asking.result(), time.monotonic()
        return self._known if time.monotonic() - self._known_at < PATIENCE else None

    async def _ask(self) -> Mapping[str, Queue | None] | None:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._connection is None or self._connection.is_closed:
                    self._connection = await aio_pika.connect(self._shop.place.own_broker_url("operator"))
                return await broker.depths(self._connection, self._names)
        except (*broker.UNREACHABLE, asyncio.CancelledError, RuntimeError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await self._disconnect()
            return None

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await close(connection)


class Rows:
    """What `shopctl status` shows of each process, and the address of each service's, read in a thread of its own.

    It may take seconds when a process hangs, or Docker does; the page must not wait for it, nor its end.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._at = 0.0
        self.latest: tuple[list[Row], Mapping[str, tuple[str, int]]] = ([], {})
        self._failure: str | None = None

    def start(self) -> tuple[list[Row], Mapping[str, tuple[str, int]]]:
        """Reads them once, and from then on repeatedly. Raises StartError."""
        self._read()
        threading.Thread(target=self._run, name="rows", daemon=True).start()
        return self.latest

    @property
    def trouble(self) -> str | None:
        """Why `latest` is old; None if it is not."""
        age = time.monotonic() - self._at
        if age < 5 * ROWS_EVERY:
            return None
        return f"Processes and memory are {age:.0f} s old: {self._failure or 'reading them takes long'}."

    def _run(self) -> None:
        while True:
            time.sleep(ROWS_EVERY)
            try:
                self._read()
            except (StartError, OSError) as error:
                self._failure = " ".join(str(error).split())[:200]

    def _read(self) -> None:
        self.latest = self._shop.rows(), self._shop.replicas()
        self._at, self._failure = time.monotonic(), None

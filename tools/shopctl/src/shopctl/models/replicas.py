"""Measures the edge's policies: nginx in front of replicas that need a random time for each request, on this machine.

The replicas stand for a service, because a real one does not tell how long it needs. The policies are the shop's.
"""

import asyncio
import contextlib
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from chassis.local.processes import StartError, free_ports
from chassis.local.system import program, run_as
from shopctl.models.balancing import Outcome, address

__all__ = ["measure"]

CONFIGURATION = """daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream replicas {{ zone replicas 64k; include {policy}; {servers} }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://replicas; }} }}
}}
"""
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n"


async def measure(
    policies: Path,
    policy: str,
    arrivals: float,
    services: Sequence[float],
    *,
    clients: int,
    requests: int,
    first: int = 0,
    seed: int = 1,
) -> Outcome:
    """Send requests at random times through nginx to replicas of the rates `services`, as `balancing.simulate` does.

    `policies` is the folder with the edge's policies. The clients' numbers begin with `first`. Raises StartError if
    nginx or a replica does not answer.
    """
    chance = random.Random(seed)  # noqa: S311 - the same requests each time
    took: list[float] = []
    answered = [0] * len(services)

    async def ask(port: int, client: int) -> None:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address(client), 0))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise StartError("A replica did not answer.")
        answered[int(answer[-1:])] += 1
        took.append(time.monotonic() - began)

    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(_replica(n, rate, seed)) for n, rate in enumerate(services)]
        edge = stack.enter_context(_nginx(policies / f"{policy}.conf", ports))
        asked = []
        due = time.monotonic()
        for _ in range(requests):
            due += chance.expovariate(arrivals)
            await asyncio.sleep(due - time.monotonic())
            asked.append(asyncio.create_task(ask(edge, first + chance.randrange(clients))))
        await asyncio.gather(*asked)
    took.sort()
    return Outcome(sum(took) / len(took), took[int(0.95 * len(took))], tuple(answered))


@contextlib.asynccontextmanager
async def _replica(number: int, rate: float, seed: int) -> AsyncIterator[int]:
    """Serve requests one after the other, each after an exponential time; yields the port."""
    chance, free = random.Random(f"{seed} {number}"), 0.0  # noqa: S311

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal free
        await reader.readuntil(b"\r\n\r\n")
        free = max(free, time.monotonic()) + chance.expovariate(rate)  # a late timer does not delay the next request
        await asyncio.sleep(free - time.monotonic())
        writer.write(ANSWER + str(number).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.contextmanager
def _nginx(policy: Path, ports: Sequence[int]) -> Iterator[int]:
    """Run nginx with this policy in front of the replicas; yields its port."""
    (port,), user = free_ports(1), run_as("root")
    servers = " ".join(f"server 127.0.0.1:{each};" for each in ports)
    with tempfile.TemporaryDirectory() as folder:
        user = f"user {user};" if user else ""
        text = CONFIGURATION.format(user=user, policy=policy, servers=servers, port=port)
        (Path(folder) / "nginx.conf").write_text(text)
        argv = [program("nginx"), "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf"]
        with subprocess.Popen(argv) as running:
            try:
                _wait(port, running)
                yield port
            finally:
                running.terminate()


def _wait(port: int, running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise StartError("nginx does not start.")

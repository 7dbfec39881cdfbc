"""Stores for a test session: from the environment, or in containers, or from the system's binaries.

TEST_POSTGRES_URL, TEST_VALKEY_URL, TEST_RABBITMQ_URL   use these stores (RabbitMQ's as an administrator)
TEST_STORES=native|containers                           require one of the other two
"""

import contextlib
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chassis.local.processes import Server, StartError, answers, free_ports, start
from chassis.local.servers import Epmd, Postgres, RabbitMQ, Valkey

POSTGRES_IMAGE = "postgres:17-trixie"
VALKEY_IMAGE = "valkey/valkey:8-trixie"
RABBITMQ_IMAGE = "rabbitmq:4-management"
PASSWORD = "tester"
ADMINISTRATOR = "tester"

MEMORY = Path("/dev/shm")
"""Linux's file system in memory."""
ROOM = 2 * 2**30
"""The bytes that must be free there."""

_GREETINGS = {
    # StartupMessage: a request for a password; while it starts, an error.
    5432: (b"\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00", b"R"),
    6379: (b"PING\r\n", b"-NOAUTH"),
    5672: (b"AMQP\x00\x00\x09\x01", b"\x01"),  # a method frame: Connection.Start
}


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a superuser's connection to a PostgreSQL server."""
    if given := os.environ.get("TEST_POSTGRES_URL"):
        yield given
    elif containers():
        environment = {"POSTGRES_PASSWORD": PASSWORD}
        arguments = "postgres -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        # The image first starts a server for its scripts, which does not listen on TCP.
        with _container(POSTGRES_IMAGE, 5432, "/var/lib/postgresql/data", environment, arguments) as address:
            yield f"postgresql://postgres:{PASSWORD}@{address}/postgres"
    else:
        with _home() as home:
            server = Postgres(home / "postgres", free_ports(1)[0], PASSWORD, durable=False)
            with _running(server, home):
                yield server.url


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """The URL of a Valkey or Redis server."""
    if given := os.environ.get("TEST_VALKEY_URL"):
        yield given
    elif containers():
        arguments = f"valkey-server --appendonly yes --requirepass {PASSWORD}"
        with _container(VALKEY_IMAGE, 6379, "/data", {}, arguments) as address:
            yield f"redis://:{PASSWORD}@{address}/0"
    else:
        with _home() as home:
            server = Valkey(home / "valkey", free_ports(1)[0], PASSWORD)
            with _running(server, home):
                yield server.url


@contextlib.contextmanager
def rabbitmq(definitions: dict[str, Any]) -> Iterator[str]:
    """The URL, without a virtual host, of an administrator of a RabbitMQ that has loaded `definitions`.

    A broker from the environment must have them already.
    """
    text = json.dumps(with_administrator(definitions))
    if given := os.environ.get("TEST_RABBITMQ_URL"):
        yield given.removesuffix(urlsplit(given).path)
    elif containers():
        files = {
            "/etc/rabbitmq/definitions.json": text,
            "/etc/rabbitmq/conf.d/90-definitions.conf": "load_definitions = /etc/rabbitmq/definitions.json\n",
        }
        with _container(RABBITMQ_IMAGE, 5672, "/var/lib/rabbitmq", {}, files=files) as address:
            yield f"amqp://{ADMINISTRATOR}:{PASSWORD}@{address}"
    else:
        with _home() as home:
            port, dist_port, epmd_port = free_ports(3)
            server = RabbitMQ(home / "rabbitmq", port, dist_port, epmd_port, text)
            with _running(Epmd(home / "rabbitmq", epmd_port), home), _running(server, home):
                yield f"amqp://{ADMINISTRATOR}:{PASSWORD}@127.0.0.1:{port}"


def with_administrator(definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the definitions with an additional user that may do everything in each virtual host."""
    user = {"name": ADMINISTRATOR, "password": PASSWORD, "tags": ["administrator"]}
    everything = {"user": ADMINISTRATOR, "configure": ".*", "write": ".*", "read": ".*"}
    return definitions | {
        "users": [*definitions.get("users", []), user],
        "permissions": [
            *definitions.get("permissions", []),
            *({**everything, "vhost": vhost["name"]} for vhost in definitions["vhosts"]),
        ],
    }


@functools.cache
def containers() -> bool:
    """Returns whether stores run in containers: a Docker Engine answers, and TEST_STORES does not say otherwise."""
    wanted = os.environ.get("TEST_STORES", "")
    if wanted in ("native", "containers"):
        return wanted == "containers"
    import docker  # type: ignore[import-untyped]

    try:
        docker.from_env(timeout=3).ping()
    except docker.errors.DockerException:
        return False
    return True


@contextlib.contextmanager
def _container(
    image: str,
    port: int,
    data: str,
    environment: dict[str, str],
    arguments: str | None = None,
    *,
    files: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yields host and port of a server that answers. Raises StartError.

    `data` is the folder of its data, which are kept in memory; `files` are texts by path in the container.
    """
    import docker
    from testcontainers.core.container import DockerContainer

    with contextlib.ExitStack() as stack:
        try:
            container = DockerContainer(image, env=environment).with_exposed_ports(port).with_tmpfs_mount(data)
        except docker.errors.DockerException:
            raise StartError("No Docker Engine answers: start it, or set TEST_STORES=native") from None
        if arguments:
            container.with_command(arguments)
        for path, text in (files or {}).items():
            container.with_copy_into_container(text.encode(), path)
        try:
            stack.enter_context(container)
        except docker.errors.DockerException as error:
            reason = getattr(error, "explanation", None) or error
            raise StartError(
                f"{image} does not start ({reason}); see `docker pull {image}`, or set TEST_STORES=native"
            ) from None
        host, outside = container.get_container_host_ip(), int(container.get_exposed_port(port))
        deadline = time.monotonic() + 90
        # Docker's proxy accepts connections before the server listens, so only an answer counts.
        while not answers(outside, *_GREETINGS[port], host=host):
            if time.monotonic() > deadline:
                raise StartError(f"{image} did not answer on port {port} within 90 s")
            time.sleep(0.1)
        yield f"{host}:{outside}"


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """Yields a folder for a server's data: in memory if there is room, because a new database is some 300 files."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM
    home = Path(tempfile.mkdtemp(prefix="stores-", dir=MEMORY if in_memory else None))
    home.chmod(0o711)  # the servers run as other users if root runs the tests
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _running(server: Server, home: Path) -> Iterator[None]:
    process = start(server, home / f"{server.name}.log", die_with_parent=True)
    try:
        yield
    finally:
        process.stop(server.stop_signal)

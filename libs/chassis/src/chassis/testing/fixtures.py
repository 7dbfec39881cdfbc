"""The pytest plugin: real stores, started when a test first uses one, and empty at the start of each test."""

import asyncio
import json
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aio_pika
import asyncpg
import pytest
import redis

from chassis import tracing
from chassis.db import Database, migrations
from chassis.local.processes import StartError
from chassis.testing import stores
from chassis.testing.tokens import jwks_url as jwks_url

T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """Takes spans in place of the exporter."""

    add: Callable[[tracing.Span], None]


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ with the first virtual host of the definitions; each user's password is its name."""

    administrator: str
    vhost: str
    queues: tuple[str, ...]

    def url(self, user: str | None = None) -> str:
        """Returns the AMQP URL of a user in the definitions, or of an administrator."""
        path = quote(self.vhost, safe="")
        if user is None:
            return f"{self.administrator}/{path}"
        return f"amqp://{user}:{user}@{urlsplit(self.administrator).netloc.rpartition('@')[2]}/{path}"


def pytest_configure() -> None:
    """Treats SIGTERM like an interrupt, so that the session stops what it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def patient_pools() -> Iterator[None]:
    """Lets pools wait longer for a connection than in production: a busy machine may pause for seconds."""
    defaults = Database.__init__.__kwdefaults__ or {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database.__init__, "__kwdefaults__", {**defaults, "acquire_timeout": 30.0})
        yield


@pytest.fixture
def spans() -> Iterator[list[tracing.Span]]:
    """The spans that end during a test. Traces are recorded only if their traceparent says `sampled`."""
    ended: list[tracing.Span] = []
    tracing.export_to(Ended(ended.append), 0)
    yield ended
    tracing.export_to(None, 0)


@pytest.fixture(scope="session")
def rabbitmq_definitions() -> str:
    """JSON text of RabbitMQ's definitions; a project with queues overrides this in its conftest."""
    return '{"vhosts": [{"name": "/"}]}'


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a superuser's connection; most tests use `database`."""
    yield from started(stores.postgres())


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a Valkey that tests share; most tests use `valkey`."""
    yield from started(stores.valkey())


@pytest.fixture(scope="session")
def rabbitmq_server(rabbitmq_definitions: str) -> Iterator[Broker]:
    """A broker whose queues may hold other tests' messages; most tests use `rabbitmq`."""
    definitions = json.loads(rabbitmq_definitions)
    vhost = definitions["vhosts"][0]["name"]
    queues = tuple(queue["name"] for queue in definitions.get("queues", ()) if queue["vhost"] == vhost)
    for url in started(stores.rabbitmq(definitions)):
        yield Broker(url, vhost, queues)


@pytest.fixture(scope="session")
def database_templates(postgres_server: str) -> Iterator[Callable[[str], str]]:
    """Returns the name of a database with a package's migrated schema, created once per session."""
    made: dict[str, str] = {}

    def template(package: str) -> str:
        if package not in made:
            name = f"template_{package}_{uuid.uuid4().hex[:8]}"
            execute(postgres_server, f'CREATE DATABASE "{name}"')
            apart(migrations.upgrade, package, at(postgres_server, name))
            made[package] = name
        return made[package]

    yield template
    drop(postgres_server, *made.values())


@pytest.fixture
def database(postgres_server: str, database_templates: Callable[[str], str]) -> Iterator[Callable[[str | None], str]]:
    """`database("shelves")` is the URL of a fresh database migrated for that package; None: an empty one."""
    made: list[str] = []

    def fresh(package: str | None = None) -> str:
        template = "template0" if package is None else database_templates(package)
        name = f"test_{uuid.uuid4().hex}"
        # Copying the files takes two thirds of the time that the default takes, which logs each page.
        execute(postgres_server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        made.append(name)
        return at(postgres_server, name)

    yield fresh
    drop(postgres_server, *made)


@pytest.fixture
def valkey(valkey_url: str) -> str:
    """The URL of an empty Valkey."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    return valkey_url


@pytest.fixture
def rabbitmq(rabbitmq_server: Broker) -> Broker:
    """A broker with empty queues."""
    apart(asyncio.run, purge(rabbitmq_server))
    return rabbitmq_server


def started(store: AbstractContextManager[str]) -> Iterator[str]:
    """Yields a store's URL; a store that does not start ends the session with the reason."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(store)
        except StartError as error:
            pytest.exit(str(error), returncode=1)
        yield url


async def purge(broker: Broker) -> None:
    """Empties the queues of the definitions."""
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()
        for name in broker.queues:
            await (await channel.get_queue(name, ensure=False)).purge()


def at(url: str, database: str) -> str:
    """Returns the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def execute(url: str, *statements: str) -> None:
    """Runs statements, each in its own transaction.

    In a test with a running service, call it by `asyncio.to_thread`: a statement may wait for a lock of the service,
    whose event loop must go on to release it.
    """

    async def run() -> None:
        connection = await asyncpg.connect(url, server_settings={"lock_timeout": "20000"})
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    apart(asyncio.run, run())


def drop(url: str, *names: str) -> None:
    execute(url, *(f'DROP DATABASE "{name}" WITH (FORCE)' for name in names))


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Calls `function`, which runs an event loop, in a thread, since the caller may be inside a running loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function, *arguments).result()

"""A connection pool to Valkey (Redis-compatible) that fails soon and clearly.

redis-py by itself retries for seconds, waits for a connection without a limit, and hands out connections that the
server has reset. `test_valkey.py` shows that none of this happens here.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha1
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from chassis import tracing
from chassis.errors import Unavailable
from chassis.outage import address, reason

__all__ = ["Script", "Valkey"]


class Script:
    """A Lua script; Valkey runs it without another command in between."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Valkey:
    """Valkey for one service. Each call raises Unavailable (`<what>-unavailable`) without an answer in time.

    Nothing is retried here: if only the reply was lost, the command has run. `what` names the stored objects, in
    the plural. `timeout` is in seconds, for a connection and for an answer each.
    """

    def __init__(self, url: str, what: str, *, service: str, connections: int = 16, timeout: float = 1.5) -> None:
        self._address = address(url, 6379)
        self._service = service
        self._what = what
        self.redis = Redis(
            connection_pool=Pool.from_url(
                url,
                max_connections=connections,
                timeout=timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                # With these, redis-py 8.1 hands out connections that the server has closed (redis-py issue 4252).
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
        )
        self._execute: Callable[..., Awaitable[Any]] = self.redis.execute_command

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.aclose(close_connection_pool=True)

    async def ping(self) -> None:
        """Raises ConnectionError, with the address and the reason, if Valkey cannot be used.

        It logs nothing, because it is called until it succeeds.
        """
        try:
            await self.redis.ping()
        except RedisError as error:
            # redis-py raises its own error while it handles the system's, which is clearer.
            system = error.__context__ if isinstance(error.__context__, OSError) else None
            why = reason(system or error).removesuffix(".")
            raise ConnectionError(
                f"{self._service}: Valkey at {self._address} cannot be used: {why}; is VALKEY_URL right?"
            ) from error

    async def execute(self, *command: str | int | bytes) -> Any:
        """Runs one command, such as `("HGETALL", key)`."""
        with self._unavailable(), _span(str(command[0])):
            return await self._execute(*command)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        with self._unavailable(), _span("EVALSHA"):
            try:
                return await self._execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
            except NoScriptError:  # Valkey has restarted; EVAL stores the script too
                return await self._execute("EVAL", script.text, len(keys), *keys, *arguments)

    @contextlib.contextmanager
    def _unavailable(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            slug = f"{self._what.removesuffix('s')}-unavailable"
            title = f"{self._what.capitalize()} cannot be reached"
            raise Unavailable(slug, title, "Try again in a second.") from error


def _span(command: str) -> tracing.Span | tracing.Nothing:
    return tracing.span(command, tracing.CLIENT, {"db.system.name": "redis", "db.operation.name": command})


class Pool(BlockingConnectionPool):
    """A pool that replaces connections that were reset.

    redis-py hands them out, and uvloop raises a RuntimeError when one is used.
    """

    async def ensure_connection(self, connection: Any) -> None:
        if connection.is_connected and connection._writer.is_closing():
            await connection.disconnect()
        await super().ensure_connection(connection)

"""The connection pool of a process, and which errors are failures of the environment."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

from chassis import metrics, tracing
from chassis.db.statements import summary
from chassis.errors import Unavailable
from chassis.outage import address, reason

__all__ = ["SCHEMA_CHANGED", "Connection", "Database", "DatabaseDown", "is_environment_failure"]

if TYPE_CHECKING:
    from chassis.outbox import Row

    DriverConnection = PoolConnectionProxy[asyncpg.Record]
else:
    DriverConnection = object

STATEMENTS = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval"})
NEEDS_CORRECTION = (
    asyncpg.InvalidAuthorizationSpecificationError,  # no such role, a wrong password, an address that is refused
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
SCHEMA_CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A migration changed the result of a prepared statement. The pool prepares it again, so the same work succeeds next
time. The transaction in which it happened is rolled back, and only its caller can repeat it."""
ENVIRONMENT_FAILURES = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization failure
    asyncpg.OperatorInterventionError,  # shutdown, start-up, statement timeout
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that has become a standby
    asyncpg.PostgresSystemError,  # a disk that fails
    *SCHEMA_CHANGED,
    asyncpg.InternalClientError,
    Unavailable,
)


def is_environment_failure(error: BaseException) -> bool:
    """Returns whether the same call may succeed later (connection, timeout, deadlock …); not for bad data or a bug."""
    if isinstance(error, ExceptionGroup):
        return all(is_environment_failure(e) for e in error.exceptions)
    if isinstance(error, asyncpg.InterfaceError):  # one class for a lost connection and for wrong arguments
        return not isinstance(error, ValueError) and "argument" not in str(error)
    if isinstance(error, asyncpg.InternalServerError):
        # A disk quota, a limit on the size of files … have no class of their own. The subclasses are corrupted data:
        # a message that needs them must not block its queue.
        return type(error) is asyncpg.InternalServerError
    return isinstance(error, ENVIRONMENT_FAILURES)


class DatabaseDown(ConnectionError):
    """PostgreSQL refuses the connection or does not respond; the message says where, why and what to do.

    `temporary` is true if the problem may end without an operator.
    """

    def __init__(self, message: str, *, temporary: bool = True) -> None:
        super().__init__(message)
        self.temporary = temporary


def _down(url: str, error: OSError | asyncpg.PostgresError) -> DatabaseDown:
    server = f"PostgreSQL at {address(url, 5432)}"
    if isinstance(error, asyncpg.PostgresError):
        why = str(error).partition("\n")[0]
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            return DatabaseDown(f"{server} refuses: {why}; create it, or correct DATABASE_URL", temporary=False)
        if isinstance(error, NEEDS_CORRECTION):
            return DatabaseDown(f"{server} refuses: {why}; correct DATABASE_URL", temporary=False)
        return DatabaseDown(f"{server} refuses: {why}")
    return DatabaseDown(f"{server} does not answer: {reason(error)}; is DATABASE_URL right?")


def forget_values(error: BaseException) -> None:
    """Removes the values of rows and arguments from the texts of an error and its causes.

    PostgreSQL's detail of a violation is the whole row, and the driver quotes an argument that it cannot encode. The
    text of an error goes into logs, which must hold no address or e-mail.
    """
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        each = chain.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        chain += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        if isinstance(each, asyncpg.PostgresError):
            each.detail = each.hint = each.context = None
        if isinstance(each, asyncpg.PostgresError | asyncpg.InterfaceError) and "query argument" in str(each):
            each.args = (str(each).partition(": ")[0],)  # "invalid input for query argument $1: …"
            each.__cause__ = None


async def _no_reset(_: object) -> None:
    """Does nothing: we leave no session state, and a reset would cost one more round trip, the price of a read."""


class Connection(DriverConnection):
    """A connection borrowed from the pool. `left_messages` are the outbox rows that its transaction has stored.

    In a sampled trace, each statement is a span.
    """

    def __init__(self, driver: "PoolConnectionProxy[asyncpg.Record]", database: str) -> None:
        self._driver = driver
        self._database = database
        self.left_messages: list[Row] = []

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._driver, name)
            return self._traced(found) if name in STATEMENTS and tracing.recording() else found

    def _traced(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def traced(statement: str, *arguments: Any, **options: Any) -> Any:
            with statement_span(summary(statement), self._database):
                return await method(statement, *arguments, **options)

        return traced


def statement_span(name: str, database: str) -> "tracing.Span | tracing.Nothing":
    return tracing.span(
        name,
        tracing.CLIENT,
        {
            "db.system.name": "postgresql",
            "db.namespace": database,
            "db.operation.name": name.partition(" ")[0],
            "db.query.summary": name,
        },
    )


class Database:
    """A bounded pool of connections to one database.

    `async with db.transaction() as tx` commits at its end. `async with db.connection() as c` is in autocommit mode, for
    reads and for use cases that are one statement. After a block without an error, each of `after_messages` gets the
    outbox rows that it has stored. Both raise `Unavailable` when no connection is free within `acquire_timeout`
    seconds. Errors that leave their blocks hold no values of rows. Connections are opened when they are first needed.
    """

    def __init__(
        self,
        url: SecretStr | str,
        *,
        name: str,
        size: int = 5,
        acquire_timeout: float = 2.0,
        statement_timeout: float = 5.0,
    ) -> None:
        self.url = url.get_secret_value() if isinstance(url, SecretStr) else url
        self.name = name
        self.after_messages: list[Callable[[list[Row]], None]] = []
        self._size = size
        self._acquire_timeout = acquire_timeout
        self._statement_timeout = statement_timeout
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=300,
            reset=_no_reset,
            timeout=self._acquire_timeout,
            command_timeout=self._statement_timeout + 1,
            server_settings={
                "application_name": self.name,
                "statement_timeout": f"{int(self._statement_timeout * 1000)}",
                "idle_in_transaction_session_timeout": "15000",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
            },
        )
        for state, count in (
            ("busy", self._busy),
            ("idle", self._pool.get_idle_size),
            ("limit", self._pool.get_max_size),
        ):
            metrics.pool_connections.labels(state).set_function(count)
        return self

    def _busy(self) -> int:
        return 0 if self._pool is None else self._pool.get_size() - self._pool.get_idle_size()

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        pool = self._pool
        if pool is None:
            raise Unavailable("shutting-down", "This process is stopping", "Try again: another process will answer.")
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._acquire_timeout):  # the pool's own timeout makes a task each time
                connection = await pool.acquire()
            metrics.pool_wait.observe(time.perf_counter() - start)
        except TimeoutError as error:
            if not pool.get_size():  # there are no other connections that could be busy
                raise _down(self.url, TimeoutError(f"nothing within {self._acquire_timeout:g} s")) from error
            raise Unavailable("database-busy", "No database connection is free", "Try again in a second.") from error
        except (OSError, asyncpg.PostgresError) as error:
            raise _down(self.url, error) from error
        borrowed = Connection(connection, self.name)
        try:
            yield borrowed
        except Exception as error:
            forget_values(error)
            raise
        finally:
            await pool.release(connection, timeout=self._acquire_timeout)
        if borrowed.left_messages:
            for take in self.after_messages:
                take(borrowed.left_messages)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except BaseException:
                await transaction.rollback()
                raise
            with statement_span("COMMIT", self.name):
                await transaction.commit()

    async def ping(self) -> None:
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

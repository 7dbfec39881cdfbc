"""Connections to RabbitMQ. They have timeouts and clear errors, and survive properties that cannot be decoded.

pamqp raises when a message's properties are not UTF-8 or hold a time after the year 9999. This ends aiormq's
connection, and each redelivery would end the next one. `test_handling.py` shows that such messages are handled.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import InvalidFrameError
from pamqp.commands import Basic
from pydantic import SecretStr

from chassis.outage import address, reason

__all__ = ["BrokerDown", "close", "connect"]

HEARTBEAT = 10


class BrokerDown(ConnectionError):
    """There is no connection, or no confirm in time. It is unknown whether a message arrived."""


async def connect(url: SecretStr | str, name: str) -> AbstractConnection:
    """Opens a connection within 5 s. Raises BrokerDown."""
    plain = url.get_secret_value() if isinstance(url, SecretStr) else url
    try:
        return await asyncio.wait_for(
            aio_pika.connect(plain, client_properties={"connection_name": name}, heartbeat=HEARTBEAT), 5
        )
    except TimeoutError as error:
        raise _down(plain, "nothing within 5 s") from error
    except aio_pika.exceptions.ProbableAuthenticationError as error:
        raise _down(plain, "it refuses the user or the password") from error
    except InvalidFrameError as error:  # the broker answers a wrong virtual host by closing
        raise _down(plain, "it has no such virtual host, or does not let the user in") from error
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        raise _down(plain, reason(error)) from error


def _down(url: str, why: str) -> BrokerDown:
    return BrokerDown(f"RabbitMQ at {address(url, 5672)} cannot be used: {why}; is BROKER_URL right?")


async def close(connection: AbstractConnection) -> None:
    """Closes a connection, which may be broken already, within a second."""
    with contextlib.suppress(
        OSError, TimeoutError, RuntimeError, asyncio.CancelledError, aio_pika.exceptions.AMQPError
    ):
        await asyncio.wait_for(connection.close(), 1)


def _forgiving(unmarshal: Callable[[Any, int, bytes], None]) -> Callable[[Any, int, bytes], None]:
    """Drops the first property that cannot be decoded and those after it. Only the body matters here."""

    def forgiving(properties: Any, flags: int, data: bytes) -> None:
        with contextlib.suppress(Exception):
            unmarshal(properties, flags, data)

    return forgiving


Basic.Properties.unmarshal = _forgiving(Basic.Properties.unmarshal)  # type: ignore[assignment, method-assign]

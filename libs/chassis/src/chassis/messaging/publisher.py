"""Publish and know: a call returns once the broker has the message on disk, or raises."""

import asyncio
import contextlib
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import InvalidFrameError, PublishError
from pydantic import SecretStr

from chassis.ids import uuid7
from chassis.messaging.envelope import CONTENT_TYPE
from chassis.outage import address, reason

__all__ = ["BrokerDown", "Publisher", "Refused", "close", "connect"]

HEARTBEAT = 10


class BrokerDown(ConnectionError):
    """No connection, or no confirm in time: whether the message arrived is unknown."""


class Refused(Exception):
    """The broker answered: no queue is bound to the routing key, or the queue is full. Nothing was stored."""


async def connect(url: SecretStr | str, name: str) -> AbstractConnection:
    """A connection with a time-out of 5 s. Raises BrokerDown."""
    plain = url.get_secret_value() if isinstance(url, SecretStr) else url
    try:
        return await asyncio.wait_for(
            aio_pika.connect(plain, client_properties={"connection_name": name}, heartbeat=HEARTBEAT), 5
        )
    except TimeoutError as error:
        raise _down(plain, "nothing within 5 s") from error
    except aio_pika.exceptions.ProbableAuthenticationError as error:
        raise _down(plain, "it refuses the user or the password") from error
    except InvalidFrameError as error:  # the answer to a virtual host is a close
        raise _down(plain, "it has no such virtual host, or does not let the user in") from error
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        raise _down(plain, reason(error)) from error


def _down(url: str, why: str) -> BrokerDown:
    return BrokerDown(f"RabbitMQ at {address(url, 5672)} cannot be used: {why}; is BROKER_URL right?")


async def close(connection: AbstractConnection) -> None:
    """Closes what may be broken already, within a second."""
    with contextlib.suppress(
        OSError, TimeoutError, RuntimeError, asyncio.CancelledError, aio_pika.exceptions.AMQPError
    ):
        await asyncio.wait_for(connection.close(), 1)


class Publisher:
    """One connection and channel for confirmed, mandatory, persistent messages; made when first needed.

    After any doubt (time-out, lost connection) the channel is thrown away, since a late confirm on it would be
    taken for the next message's.
    """

    def __init__(self, url: SecretStr | str, *, name: str, timeout: float = 5.0) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._discard()

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, *, headers: dict[str, Any] | None = None
    ) -> None:
        """Raises Refused (definite) or BrokerDown (unknown)."""
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid7()),  # aiormq matches a returned message to its publish by this
            headers=headers or {},
        )
        try:
            async with asyncio.timeout(self._timeout):
                target = await self._exchange(exchange)
                await target.publish(message, routing_key, mandatory=True, timeout=self._timeout)
        except (DeliveryError, PublishError) as error:
            raise Refused(f"{exchange}/{routing_key}: {error}") from error
        except BrokerDown:
            await self._discard()
            raise
        except (OSError, TimeoutError, RuntimeError, aio_pika.exceptions.AMQPError) as error:
            await self._discard()
            raise BrokerDown(f"publishing to {exchange}/{routing_key}: {error or type(error).__name__}") from error
        except asyncio.CancelledError as error:
            await self._discard()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise BrokerDown("the connection was lost while publishing") from error  # aiormq cancels its waiters

    async def _exchange(self, name: str) -> AbstractExchange:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self._discard()
                self._connection = await connect(self._url, f"{self._name}:publish")
                self._channel = self._connection.channel(publisher_confirms=True, on_return_raises=True)
                await self._channel.initialize()
            if name not in self._exchanges:
                self._exchanges[name] = await self._channel.get_exchange(name, ensure=False)
            return self._exchanges[name]

    async def _discard(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._exchanges = {}
        if connection is not None:
            await close(connection)

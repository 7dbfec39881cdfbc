"""Publishes with confirms: a call returns once the broker has stored the message on disk, or raises.

`test_publisher.py` cuts the connection and cancels a publish.
"""

import asyncio
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError
from aiormq.exceptions import ChannelAccessRefused, PublishError
from pydantic import SecretStr

from chassis.ids import uuid7
from chassis.messaging.connection import BrokerDown, close, connect
from chassis.messaging.envelope import CONTENT_TYPE

__all__ = ["Publisher", "Refused"]


class Refused(Exception):
    """The broker stored nothing: the queue is full, the message is too large or, if `unroutable`, there is no queue."""

    def __init__(self, message: str, *, unroutable: bool) -> None:
        super().__init__(message)
        self.unroutable = unroutable


class Publisher:
    """Publishes persistent, mandatory messages on one connection, which it opens when needed.

    Each exchange has its own channel: the broker closes a channel when its exchange is missing or forbidden, and this
    does not stop the others. After a timeout or a lost connection, the connection and its channels are discarded,
    because a late confirm would be taken for that of the next message.
    """

    def __init__(self, url: SecretStr | str, *, name: str, timeout: float = 5.0) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._exchanges: dict[str, tuple[AbstractChannel, AbstractExchange]] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._discard()

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, *, headers: dict[str, Any] | None = None
    ) -> None:
        """Raises Refused (the message is not stored) or BrokerDown (it may be stored)."""
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
        except PublishError as error:
            raise Refused(f"{exchange}/{routing_key}: no queue is bound to it", unroutable=True) from error
        except DeliveryError as error:
            raise Refused(f"{exchange}/{routing_key}: its queue is full", unroutable=False) from error
        except ChannelPreconditionFailed as error:  # it is too large
            raise Refused(f"{exchange}/{routing_key}: {error}", unroutable=False) from error
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise Refused(f"{exchange}/{routing_key}: {error}", unroutable=True) from error
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
            if self._connection is None or self._connection.is_closed:
                await self._discard()
                self._connection = await connect(self._url, f"{self._name}:publish")
            channel, exchange = self._exchanges.get(name, (None, None))
            if channel is None or exchange is None or channel.is_closed:
                channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                exchange = await channel.get_exchange(name, ensure=False)
                self._exchanges[name] = channel, exchange
            return exchange

    async def _discard(self) -> None:
        connection, self._connection, self._exchanges = self._connection, None, {}
        if connection is not None:
            await close(connection)

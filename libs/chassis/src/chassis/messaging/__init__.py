"""A thin layer over aio-pika for RabbitMQ: publishes with confirms, consumes in micro-batches, retries, dead-letters.

Acknowledging a message whose handler failed loses an order; a plain nack repeats a poison message for ever; one
transaction per message makes the broker the bottleneck. `tests/messaging` shows each against a real broker.

    Publisher   publishes a message and returns once the broker has confirmed it, or raises
    Consumer    passes what has arrived, by type, to handlers that take a list
"""

from chassis.messaging.connection import BrokerDown
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Envelope, Malformed, pack, unpack
from chassis.messaging.handling import handles
from chassis.messaging.publisher import Publisher, Refused

__all__ = [
    "BrokerDown",
    "Consumer",
    "Envelope",
    "Malformed",
    "Publisher",
    "Refused",
    "handles",
    "pack",
    "unpack",
]

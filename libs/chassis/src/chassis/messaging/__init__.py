"""A thin layer over aio-pika for RabbitMQ: publishes with confirms, consumes in micro-batches, retries, dead-letters.

Acknowledging a message whose handler failed loses an order. A plain nack repeats a poison message forever. One
transaction per message makes messaging the bottleneck. `tests/messaging` shows each against a real broker.

    Publisher   publishes a message and returns once the broker has confirmed it, or raises
    Consumer    passes the messages that have arrived to the handler of their type, as a list
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

"""RabbitMQ by a thin layer over aio-pika: publish with confirms, consume in micro-batches, retry, dead-letter.

Acknowledging a message whose handler failed loses an order; a bare nack repeats a poisonous one for ever; one
transaction a message makes the broker the bottleneck. `test_messaging.py` shows each against a real broker.

    Publisher   one confirmed publish at a time a message, or an error
    Consumer    what has arrived, split by type, to handlers that take a list
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

"""The names of RabbitMQ's queues, and the queues of each message."""

from typing import NamedTuple

from chassis.messaging.ladder import STEPS
from shopctl.services import Services

__all__ = ["Queue", "queues", "retries"]


class Queue(NamedTuple):
    """The number of ready messages in a queue, and of its consumers."""

    messages: int
    consumers: int


def queues(services: Services) -> tuple[str, ...]:
    """The queues of all services: their own, the dead letters, the retries."""
    dead = (f"{name}.dead" for name in services.consumers)
    return (*services.consumers, *dead, *retries(services))


def retries(services: Services) -> tuple[str, ...]:
    """The queues in which failed messages wait for their next attempt."""
    return tuple(f"{name}.{step}" for name in services.consumers for step in STEPS)

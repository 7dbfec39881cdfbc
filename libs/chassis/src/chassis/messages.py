"""The types that a service's messages and use cases share, without any transport.

A use case that imported the broker's client could not be read, or tested, without it. import-linter keeps
`chassis.messaging` out of use cases, models and messages.
"""

from typing import ClassVar, Generic, TypeVar
from uuid import UUID

import msgspec

__all__ = ["Event", "Message"]


class Message(msgspec.Struct):
    """Base of every command and event that a service publishes or consumes; its fields are the CloudEvents `data`.

    `type` is both the CloudEvents type and the routing key: `<service>.<what>.v1`. `consumers` names the services that
    must receive it; a service's own copy of a message that it consumes leaves it out.
    """

    type: ClassVar[str]
    consumers: ClassVar[tuple[str, ...]] = ()


M_co = TypeVar("M_co", bound=Message, covariant=True)


class Event(msgspec.Struct, Generic[M_co], frozen=True):
    """A received message as a use case takes it. `subject` is the ID of what it is about."""

    id: UUID
    subject: str
    data: M_co
    traceparent: str | None = None

"""The types that a service's messages and use cases share, without any transport.

If a use case imported the broker's client, nobody could test it without that client. import-linter keeps
`chassis.messaging` out of use cases, models and messages.
"""

from typing import ClassVar, Generic, TypeVar
from uuid import UUID

import msgspec

__all__ = ["Event", "Message"]


class Message(msgspec.Struct):
    """Base of every command and event that a service publishes or consumes; its fields are the CloudEvents `data`.

    `type` is both the CloudEvents type and the routing key: `<service>.<what>.v1`. `consumers` names the services that
    must receive it; a consumer's own copy of a message has none.
    """

    type: ClassVar[str]
    consumers: ClassVar[tuple[str, ...]] = ()


M_co = TypeVar("M_co", bound=Message, covariant=True)


class Event(msgspec.Struct, Generic[M_co], frozen=True):
    """A received message, as a use case takes it. `subject` is the ID of the object it concerns, such as an order."""

    id: UUID
    subject: str
    data: M_co
    traceparent: str | None = None

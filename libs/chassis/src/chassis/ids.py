"""UUIDv7, the IDs of orders, accounts and messages: they sort by time, so indexes grow at one end.

Random IDs (version 4) would scatter inserts over the whole index. `test_ids.py` shows the order of these.
"""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

__all__ = ["created_at", "floor", "uuid7"]


def uuid7() -> UUID:
    """Returns a new UUID, version 7: 48 bits of milliseconds, 12 of fraction, 62 random (RFC 9562, 5.7, method 3)."""
    ms, ns = divmod(time.time_ns(), 1_000_000)
    fraction = ns * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=ms << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


def created_at(id: UUID) -> datetime:
    """Returns when a version 7 ID was made, to the millisecond, in UTC."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


def floor(at: datetime) -> UUID:
    """Returns a UUID that sorts before every version 7 ID made at that time or later."""
    return UUID(int=int(at.timestamp() * 1000) << 80)

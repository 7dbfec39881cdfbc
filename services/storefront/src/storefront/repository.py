"""Sessions in Valkey. The browser holds only a random ID, and Valkey only its digest: neither alone opens a session."""

import hashlib
import secrets
from collections.abc import Collection, Mapping

import msgspec

from chassis.valkey import Script, Valkey
from storefront.models import Session

__all__ = ["Sessions"]

LOCK_MS = 5_000
"""The longest time for which one process may refresh a session's tokens."""

REPEATABLE_SECONDS = 60
"""For how long a form that adds to the cart can be sent again without adding twice."""

UNUSED_SECONDS = 86_400
ENDED_SECONDS = 60

END = Script("""\
local ended = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
if ended == 1 then redis.call('SET', KEYS[3], '', 'EX', ARGV[1]) end
return ended
""")
RELEASE = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
FIRST_PRICES = Script("""\
local prices, ttl, known = KEYS[1], ARGV[1], {}
for i = 2, #ARGV, 2 do
  known[ARGV[i]] = true
  if ARGV[i + 1] ~= '' then redis.call('HSETNX', prices, ARGV[i], ARGV[i + 1]) end
end
for _, sku in ipairs(redis.call('HKEYS', prices)) do
  if not known[sku] then redis.call('HDEL', prices, sku) end
end
redis.call('EXPIRE', prices, ttl)
return redis.call('HGETALL', prices)
""")

ONCE = Script("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET', 'EX', ARGV[2]) or ARGV[1]")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Session).decode


class Sessions:
    """Every method raises Unavailable if Valkey does not answer in time."""

    def __init__(self, valkey: Valkey, *, days: int = 30) -> None:
        self._valkey = valkey
        self._ttl = days * 86_400

    async def get(self, id: str) -> Session | None:
        """Returns the session, and renews its time to live. Returns None for one that ended, and for a forged ID."""
        stored = await self._valkey.execute("GETEX", _key(id), "EX", self._ttl)
        try:
            return _decode(stored) if stored else None
        except msgspec.DecodeError:  # of another release
            return None

    @staticmethod
    def new_id() -> str:
        return secrets.token_urlsafe(32)

    async def start(self, session: Session, id: str | None = None) -> str:
        """Stores a new session and returns its ID. A guest's that is not used again is kept for a day only."""
        id = id or self.new_id()
        ttl = self._ttl if session.signed_in else min(UNUSED_SECONDS, self._ttl)
        await self._valkey.execute("SET", _key(id), _encode(session), "EX", ttl)
        return id

    async def change(self, id: str, session: Session) -> None:
        """Replaces a session. One that has ended in the meantime stays ended."""
        await self._valkey.execute("SET", _key(id), _encode(session), "EX", self._ttl, "XX")

    async def end(self, id: str) -> bool:
        """Ends a session. Returns False if it had ended already."""
        return bool(await self._valkey.run(END, [_key(id), _prices(id), _ended(id)], [ENDED_SECONDS]))

    async def ended_lately(self, id: str) -> bool:
        """Returns whether this was the ID of a session until a minute ago."""
        return bool(await self._valkey.execute("EXISTS", _ended(id)))

    async def first_prices(self, id: str, shown: Mapping[str, str]) -> dict[str, str]:
        """Returns the prices that this session was shown first, by SKU, and forgets those of products not in `shown`.

        `shown` are the products in the cart with their prices of now; one that is not known is empty.
        """
        arguments: list[str | int] = [self._ttl]
        for line in shown.items():
            arguments += line
        stored = iter(await self._valkey.run(FIRST_PRICES, [_prices(id)], arguments))
        return {sku.decode(): price.decode() for sku, price in zip(stored, stored, strict=True)}

    async def forget_prices(self, id: str, skus: Collection[str]) -> None:
        """Makes `first_prices` begin again for these products."""
        if skus:
            await self._valkey.execute("HDEL", _prices(id), *skus)

    async def copy_prices(self, id: str, to: str) -> None:
        await self._valkey.execute("COPY", _prices(id), _prices(to))

    async def once(self, id: str, key: str, result: int) -> int:
        """Returns `result`, or that of an earlier call with this key in the last minute."""
        name = f"{_key(id)}:added:{_digest(key)}"
        return int(await self._valkey.run(ONCE, [name], [result, REPEATABLE_SECONDS]))

    async def lock(self, id: str) -> str | None:
        """Returns a proof for `unlock`, or None while another request has the lock. It opens by itself after 5 s."""
        proof = secrets.token_hex(8)
        taken = await self._valkey.execute("SET", _lock(id), proof, "NX", "PX", LOCK_MS)
        return proof if taken else None

    async def unlock(self, id: str, proof: str) -> None:
        await self._valkey.run(RELEASE, [_lock(id)], [proof])


def _key(id: str) -> str:
    return f"storefront:session:{_digest(id)}"  # Valkey lets us use no other prefix


def _ended(id: str) -> str:
    return f"{_key(id)}:ended"


def _prices(id: str) -> str:
    return f"{_key(id)}:prices"


def _lock(id: str) -> str:
    return f"{_key(id)}:lock"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

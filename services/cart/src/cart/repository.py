"""Carts in Valkey: each is a hash with its `version` and a field for each SKU, and one script changes it.

Without the script, comparing the version and changing the cart would be two steps, and a change by another request
between them would be lost.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence

from cart.models import EMPTY, MAX_LINES, Cart, Line
from chassis.errors import Invalid, PreconditionFailed
from chassis.valkey import Script, Valkey

__all__ = ["ABSENT", "ANY", "EXISTING", "Carts"]

ANY = "any"
EXISTING = "*"
ABSENT = ""
"""What a change may expect instead of a version: any cart, a cart that is not empty, or an empty cart."""

CHANGE = Script("""\
local cart, expected, version, ttl, max = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local current = redis.call('HGET', cart, 'version') or ''
local function may(version) return string.find(expected, ',' .. version .. ',', 1, true) end
if not (may('any') or may(current) or (current ~= '' and may('*'))) then return 'changed' end
local fields, sets, deletes = redis.call('HLEN', cart), {}, {}
for i = 5, #ARGV, 2 do
  local sku, quantity = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', cart, sku)
  if quantity == '0' then
    if old then table.insert(deletes, sku) end
  elseif old ~= quantity then
    if not old then fields = fields + 1 end
    table.insert(sets, sku)
    table.insert(sets, quantity)
  end
end
if #sets > 0 then
  if fields - (current == '' and 0 or 1) > max then return 'full' end
  redis.call('HSET', cart, 'version', version, unpack(sets))
elseif #deletes > 0 then
  redis.call('HSET', cart, 'version', version)
end
if #deletes > 0 then redis.call('HDEL', cart, unpack(deletes)) end
if redis.call('HLEN', cart) == 1 then redis.call('DEL', cart) end
redis.call('EXPIRE', cart, ttl)
return redis.call('HGETALL', cart)
""")

EMPTY_IF = Script("""\
local emptied = 0
for i, cart in ipairs(KEYS) do
  if redis.call('HGET', cart, 'version') == ARGV[i] then emptied = emptied + redis.call('DEL', cart) end
end
return emptied
""")


READ = Script("""\
local found = {}
for i, cart in ipairs(KEYS) do found[i] = redis.call('HGETALL', cart) end
return found
""")


class Carts:
    """The carts, each under its owner's `sub`. Every method raises Unavailable if Valkey does not answer in time.

    Nothing is retried here. If only the reply was lost, the first attempt has changed the version, so a second one with
    the same expected version would fail.
    """

    def __init__(self, valkey: Valkey, *, days: int = 30) -> None:
        self._valkey = valkey
        self._ttl = days * 86_400

    async def get(self, sub: str) -> Cart:
        return _cart(await self._valkey.execute("HGETALL", _key(sub)))

    async def get_all(self, subs: Sequence[str]) -> list[Cart]:
        """Returns the carts of these owners, in their order."""
        return [_cart(reply) for reply in await self._valkey.run(READ, [_key(sub) for sub in subs], [])]

    async def change(self, sub: str, quantities: Mapping[str, int], expected: Collection[str] = (ANY,)) -> Cart:
        """Sets absolute quantities (0 removes a line), renews the time to live, and returns the cart.

        If nothing changes, the version stays. The cart must have one of the versions `expected`, which may include ANY,
        EXISTING and ABSENT. Raises PreconditionFailed (another version) or Invalid (too many lines), without a change.
        """
        may_be = "," + "".join(f"{version}," for version in expected)
        arguments: list[str | int] = [may_be, str(uuid.uuid4()), self._ttl, MAX_LINES]
        for line in quantities.items():
            arguments += line
        reply = await self._valkey.run(CHANGE, [_key(sub)], arguments)
        if reply == b"changed":
            raise _changed()
        if reply == b"full":
            raise Invalid("cart-full", "The cart is full", f"A cart holds {MAX_LINES} lines; remove one first.")
        return _cart(reply)

    async def clear(self, sub: str, expected: Collection[str] = (ANY,)) -> None:
        """Empties a cart. Raises PreconditionFailed if it has none of the versions `expected`, as in `change`."""
        if ANY in expected or EXISTING in expected:
            emptied = await self._valkey.execute("DEL", _key(sub))
        else:
            emptied = await self.empty_if([(sub, version) for version in expected])
        if not emptied and ANY not in expected:
            raise _changed()

    async def empty_if(self, versions: Sequence[tuple[str, str]]) -> int:
        """Empties the carts that still have their version, given as pairs (sub, version). Returns their number."""
        keys = [_key(sub) for sub, _ in versions]
        return int(await self._valkey.run(EMPTY_IF, keys, [version for _, version in versions]))


def _key(sub: str) -> str:
    return f"cart:{sub}"


def _cart(reply: dict[bytes, bytes] | list[bytes]) -> Cart:
    """Builds a cart from the reply to HGETALL: a dict from a command, a flat list from a script."""
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    version = fields.pop(b"version", None)
    if version is None:
        return EMPTY
    return Cart(version.decode(), [Line(sku.decode(), int(n)) for sku, n in fields.items()])


def _changed() -> PreconditionFailed:
    return PreconditionFailed(
        "cart-changed", "The cart has another version, or is empty", "Read it again and repeat with its version."
    )

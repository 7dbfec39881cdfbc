"""Signing keys: made under a lock, published before they sign, and kept as long as a token they signed is valid."""

import json
import logging
import time
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from chassis.db import Database, is_environment_failure
from chassis.errors import Unavailable
from chassis.outage import Outage
from chassis.tokens import Keys, public_keys
from identity import repository
from identity.models import SigningKey, retired, signer

__all__ = ["ALGORITHM", "Keyring", "rotate"]

log = logging.getLogger(__name__)

ALGORITHM = "ES256"
RELOAD_SECONDS = 30


async def rotate(db: Database, *, max_age: timedelta, lead: timedelta, longest_token: timedelta) -> list[SigningKey]:
    """Makes the first key at once, and the next one when the newest has signed for `max_age`; it signs after `lead`.

    Deletes the keys that are no longer needed. A `max_age` of zero rotates now. Returns the remaining keys.
    """
    async with db.transaction() as tx:
        await repository.lock_keys(tx)
        keys = await repository.signing_keys(tx)
        now = await repository.clock(tx)
        if not keys:
            keys = [_new_key(now)]
            await repository.add_signing_key(tx, keys[0])
        elif keys[-1].signs_at + max_age <= now:
            keys.append(_new_key(now + lead))
            await repository.add_signing_key(tx, keys[-1])
        if old := retired(keys, now, longest_token):
            await repository.drop_signing_keys(tx, old)
        return [key for key in keys if key not in old]


def _new_key(signs_at: datetime) -> SigningKey:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    assert key.kid is not None
    return SigningKey(key.kid, json.dumps(key.as_dict(private=True)), signs_at)


class Keyring:
    """The keys and the database's time in this process: read every 30 s, and kept while the database is down."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._keys: list[SigningKey] = []
        self._imported: dict[str, ECKey] = {}
        self._published: dict[str, Any] = {"keys": []}
        self._public: Keys = {}
        self._origin = datetime.min  # the database's time when the monotonic clock was 0
        self._read_at = float("-inf")
        self._outage = Outage(log, "reading the signing keys")

    async def load(self) -> None:
        async with self._db.connection() as connection:
            keys = await repository.signing_keys(connection)
            self._origin = await repository.clock(connection) - timedelta(seconds=time.monotonic())
        self._imported = {key.kid: self._imported.get(key.kid) or ECKey.import_key(json.loads(key.jwk)) for key in keys}
        self._published = {"keys": [key.as_dict(private=False) for key in self._imported.values()]}
        self._public = public_keys(self._published) if keys else {}
        self._keys = keys
        self._read_at = time.monotonic()

    async def now(self) -> datetime:
        """Returns the time by the database's clock, which all processes share, so each accepts the others' tokens."""
        await self._refresh()
        return self._origin + timedelta(seconds=time.monotonic())

    async def sign(self, claims: dict[str, Any]) -> str:
        now = await self.now()  # also reads the keys, if that is due
        kid = signer(self._keys, now).kid
        return jwt.encode({"alg": ALGORITHM, "kid": kid}, claims, self._imported[kid], algorithms=[ALGORITHM])

    async def keys(self) -> Keys:
        await self._refresh()
        return self._public

    async def published(self) -> dict[str, Any]:
        """Returns the public keys as a JWK Set (RFC 7517)."""
        await self._refresh()
        return self._published

    async def _refresh(self) -> None:
        """Reads the keys, if that is due. Raises Unavailable while there is none."""
        if self._keys and time.monotonic() - self._read_at < RELOAD_SECONDS:
            return
        self._read_at = time.monotonic() - RELOAD_SECONDS + 1  # one task reads; the next attempt is in a second
        try:
            await self.load()
        except Exception as error:
            if not self._keys or not is_environment_failure(error):
                raise
            self._outage.failed(error)
        else:
            self._outage.over()
        if not self._keys:
            raise Unavailable("keys-unavailable", "There is no signing key yet", "Try again in a second.")

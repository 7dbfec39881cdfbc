"""Accounts: registration, and signing in, with a delay that makes passwords hard to guess."""

import time
from collections import deque
from dataclasses import replace
from uuid import UUID

from chassis.db import Database
from chassis.errors import Conflict, Forbidden, Malformed, TooManyRequests
from chassis.ids import uuid7
from identity import metrics, repository
from identity.models import MAX_EMAIL, Account, address_of, spellings
from identity.usecases.passwords import Passwords, Patience

__all__ = ["Window", "change_password", "invalid_grant", "register", "sign_in"]

FREE_TRIES = 5
LONGEST_WAIT = 900


class Window:
    """Limits the calls of each key in this process. It remembers the last 10,000 keys that called."""

    MAX_KEYS = 10_000

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._calls: dict[str, deque[float]] = {}

    def enter(self, key: str) -> None:
        """Counts a call. Raises TooManyRequests."""
        now = time.monotonic()
        calls = self._calls[key] = self._calls.pop(key, deque())
        if len(self._calls) > self.MAX_KEYS:
            del self._calls[next(iter(self._calls))]
        while calls and now - calls[0] >= self._seconds:
            calls.popleft()
        if len(calls) >= self._limit:
            wait = int(self._seconds - (now - calls[0])) + 1
            raise TooManyRequests(
                "too-many-registrations",
                "Too many registrations",
                f"Try again in {wait} seconds.",
                retry_after=wait,
            )
        calls.append(now)


async def register(
    db: Database, passwords: Passwords, email: str, password: str, name: str, client: Patience
) -> Account:
    """Creates an account; `email` and `password` are normalized.

    Raises Conflict if the address has an account, and Unavailable if there is no turn to hash.
    """
    async with passwords.turn(client):
        hash = await passwords.hash(password)
    account = Account(uuid7(), email, name, hash, frozenset())
    async with db.transaction() as tx:
        added = await repository.add_account(tx, account)
    if not added:
        raise Conflict("email-taken", "The email address already has an account", "Sign in, or use another address.")
    return account


async def sign_in(db: Database, passwords: Passwords, email: str, password: str, client: Patience) -> Account:
    """Returns the account with this address and password.

    Raises Malformed (`invalid_grant`), TooManyRequests after some failures for this address, and Unavailable.

    An attempt is counted before it is checked; otherwise many concurrent ones would all be free. Once counted, it is
    checked to the end, even after the deadline. So no guess is free, and the right password with a short deadline does
    not count as a failure. An address or a password that only an earlier release accepted is accepted here too; such a
    password then gets a new hash.
    """
    address, forms = address_of(email), spellings(password)
    if not (email.isascii() and address.isprintable() and len(address) <= MAX_EMAIL and forms):
        raise _refused()
    async with passwords.turn(client) as limit:
        async with db.connection() as connection:
            account = await repository.account_by_email(connection, address)
            limit.reschedule(None)
            wait = await repository.count_try(connection, address, FREE_TRIES, LONGEST_WAIT)
        if wait:
            metrics.sign_ins.labels(metrics.LIMITED).inc()
            raise TooManyRequests(
                "too-many-tries",
                "Too many failed sign-ins for this address",
                f"Try again in {wait} seconds.",
                retry_after=wait,
            )
        hash = account.password_hash if account else None
        right = [form for form in forms if await passwords.matches(form, hash)]
        if account and right and forms[0] not in right:
            account = await _with_new_hash(db, passwords, account, forms[0])
    if account is None or not right:
        raise _refused()
    async with db.connection() as connection:
        await repository.forget_tries(connection, address)
    metrics.sign_ins.labels(metrics.ACCEPTED).inc()
    return account


def _refused() -> Malformed:
    """Counts an attempt that is refused, and returns its problem."""
    metrics.sign_ins.labels(metrics.REFUSED).inc()
    return invalid_grant("The email address or the password is wrong")


async def _with_new_hash(db: Database, passwords: Passwords, account: Account, password: str) -> Account | None:
    """Gives an account a hash of its password as it is spelled now. Returns None if the password has been changed.

    Another sign-in at the same time may have been faster.
    """
    hash = await passwords.hash(password)
    async with db.connection() as connection:
        if await repository.replace_hash(connection, account, hash):
            return replace(account, password_hash=hash)
        current = await repository.account_by_id(connection, account.id)
    return current if current and await passwords.matches(password, current.password_hash) else None


async def change_password(
    db: Database, passwords: Passwords, id: UUID, current: str, new: str, client: Patience
) -> Account | None:
    """Changes the password, and ends all sign-ins of the account; `new` is normalized. Returns None without an account.

    Raises Forbidden if the current password is wrong; such attempts count as failed sign-ins. Raises Conflict if the
    password was changed in the meantime, and otherwise what `sign_in` raises.
    """
    async with db.connection() as connection:
        found = await repository.account_by_id(connection, id)
    if found is None:
        return None
    try:
        account = await sign_in(db, passwords, found.email, current, client)
    except Malformed:
        raise Forbidden("wrong-password", "The current password is wrong", "Enter it again.") from None
    async with passwords.turn(client) as limit:
        limit.reschedule(None)
        hash = await passwords.hash(new)
    async with db.transaction() as tx:
        if not await repository.replace_hash(tx, account, hash):
            raise Conflict("password-changed", "The password was changed in the meantime", "Sign in again.")
        await repository.drop_families_of(tx, id)
    return replace(account, password_hash=hash)


def invalid_grant(title: str) -> Malformed:
    """A problem with the member `error` of OAuth 2 (RFC 6749, 5.2)."""
    return Malformed("invalid-grant", title, "Sign in again.", error="invalid_grant")

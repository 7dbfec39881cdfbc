"""Accounts: registration, and signing in with a password that is not guessed quickly."""

import time
from collections import deque

from chassis.db import Database
from chassis.errors import Conflict, Malformed, TooManyRequests
from chassis.ids import uuid7
from identity import repository
from identity.models import MAX_EMAIL, Account, address_of, spellings
from identity.usecases.passwords import Passwords, Patience

__all__ = ["Window", "invalid_grant", "register", "sign_in"]

FREE_TRIES = 5
LONGEST_WAIT = 900


class Window:
    """So many calls a minute for each key, in this process; of too many keys, those that called last are kept."""

    CALLERS = 10_000

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._calls: dict[str, deque[float]] = {}

    def enter(self, key: str) -> None:
        """Raises TooManyRequests."""
        now = time.monotonic()
        calls = self._calls[key] = self._calls.pop(key, deque())
        if len(self._calls) > self.CALLERS:
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
    db: Database, passwords: Passwords, email: str, password: str, name: str, caller: Patience
) -> Account:
    """`email` and `password` are in their one form. Raises Conflict for an address that has an account, and Unavailable
    without a turn to hash.
    """
    async with passwords.turn(caller):
        hash = await passwords.hash(password)
    account = Account(uuid7(), email, name, hash, frozenset())
    async with db.transaction() as tx:
        added = await repository.add_account(tx, account)
    if not added:
        raise Conflict("email-taken", "The e-mail address has an account", "Sign in, or take another address.")
    return account


async def sign_in(db: Database, passwords: Passwords, email: str, password: str, caller: Patience) -> Account:
    """Raises Malformed (`invalid_grant`), TooManyRequests after some failures for this address, and Unavailable.

    A try is counted before it is checked, or many at once would all be free. Once counted it is checked to its end,
    however long the caller waits: no guess is free, and the right password in a hurry is no failure.
    An address need only be one that we might have taken once. The same for a password, which then gets a new hash.
    """
    address, forms = address_of(email), spellings(password)
    if not (email.isascii() and address.isprintable() and len(address) <= MAX_EMAIL and forms):
        raise invalid_grant("The e-mail address or the password is wrong")
    async with passwords.turn(caller) as limit:
        async with db.connection() as connection:
            account = await repository.account_by_email(connection, address)
            limit.reschedule(None)
            wait = await repository.count_try(connection, address, FREE_TRIES, LONGEST_WAIT)
        if wait:
            raise TooManyRequests(
                "too-many-tries",
                "Too many failures for this address",
                f"Try again in {wait} seconds.",
                retry_after=wait,
            )
        hash = account.password_hash if account else None
        right = [form for form in forms if await passwords.matches(form, hash)]
        renewed = await passwords.hash(forms[0]) if right and forms[0] not in right else None
    if account is None or not right:
        raise invalid_grant("The e-mail address or the password is wrong")
    async with db.connection() as connection:
        await repository.forget_tries(connection, address)
        if renewed:
            await repository.replace_hash(connection, account, renewed)
    return account


def invalid_grant(title: str) -> Malformed:
    """OAuth 2's own member `error` (RFC 6749, 5.2) beside those of a problem."""
    return Malformed("invalid-grant", title, "Sign in again.", error="invalid_grant")

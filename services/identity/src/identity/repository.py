"""All queries of identity."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from chassis.db import Connection
from identity.models import Account, SigningKey

KEY_LOCK = 0x51_1D  # an arbitrary constant: the lock prevents two processes from making a key at once


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token that was presented. `seed` produced its successor; it is None once no retry is answered."""

    family_id: UUID
    used: bool
    seed: bytes | None
    account: Account


async def add_account(tx: Connection, account: Account) -> bool:
    """Stores an account; returns False if the address is taken."""
    return (
        await tx.fetchval(
            "INSERT INTO accounts (id, email, name, password_hash, scopes) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (email) DO NOTHING RETURNING true",
            *(account.id, account.email, account.name, account.password_hash, sorted(account.scopes)),
        )
        is True
    )


async def account_by_email(connection: Connection, email: str) -> Account | None:
    row = await connection.fetchrow(f"SELECT {ACCOUNT} FROM accounts WHERE email = $1", email)  # noqa: S608
    return _account(row) if row else None


async def account_by_id(connection: Connection, id: UUID) -> Account | None:
    row = await connection.fetchrow(f"SELECT {ACCOUNT} FROM accounts WHERE id = $1", id)  # noqa: S608
    return _account(row) if row else None


async def accounts_by_id(connection: Connection, ids: Sequence[UUID]) -> list[Account]:
    rows = await connection.fetch(f"SELECT {ACCOUNT} FROM accounts WHERE id = ANY($1)", list(ids))  # noqa: S608
    return [_account(row) for row in rows]


async def replace_hash(connection: Connection, account: Account, hash: str) -> bool:
    """Stores a new hash; returns False if the password has changed since the account was read."""
    return (
        await connection.fetchval(
            "UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING true",
            *(account.id, account.password_hash, hash),
        )
        is True
    )


async def count_try(connection: Connection, email: str, free: int, longest: int) -> int:
    """Counts an attempt to sign in, before it is checked. Returns 0, or the seconds to wait if it comes too soon.

    After `free` attempts the wait starts at 2 s and doubles with each one, up to `longest` seconds. It is forgotten
    after a day.
    """
    counted = await connection.fetchval(
        "INSERT INTO sign_ins AS s (email, failures, retry_at) VALUES ($1, 1, now()) ON CONFLICT (email)"
        " DO UPDATE SET failures = CASE WHEN s.retry_at < now() - interval '1 day' THEN 1 ELSE s.failures + 1 END,"
        " retry_at = CASE WHEN s.failures < $2 OR s.retry_at < now() - interval '1 day' THEN now()"
        " ELSE now() + least(power(2, least(s.failures + 1 - $2, 30)), $3) * interval '1 second' END"
        " WHERE s.retry_at <= now() RETURNING true",
        *(email, free, longest),
    )
    if counted:
        return 0
    wait = await connection.fetchval(
        "SELECT ceil(extract(epoch FROM retry_at - now()))::int FROM sign_ins WHERE email = $1", email
    )
    return max(1, wait or 1)


async def forget_tries(connection: Connection, email: str) -> None:
    await connection.execute("DELETE FROM sign_ins WHERE email = $1", email)


async def add_family(tx: Connection, id: UUID, account: Account, life: timedelta) -> bool:
    """Stores a family; returns False if the password has changed since the account was read.

    It locks the account, so that a change of the password either comes first or drops this family too.
    """
    return (
        await tx.fetchval(
            "WITH a AS (SELECT id FROM accounts WHERE id = $2 AND password_hash = $3 FOR SHARE)"
            " INSERT INTO refresh_families (id, account_id, expires_at)"
            " SELECT $1, a.id, now() + $4::interval FROM a RETURNING true",
            *(id, account.id, account.password_hash, life),
        )
        is True
    )


async def add_refresh_token(tx: Connection, hash: bytes, family_id: UUID) -> None:
    await tx.execute("INSERT INTO refresh_tokens (hash, family_id) VALUES ($1, $2)", hash, family_id)


async def lock_refresh(tx: Connection, hash: bytes) -> Refresh | None:
    """Locks the token's family and then reads the token. No other lock is taken first, so there is no deadlock."""
    family_id = await tx.fetchval(
        "SELECT id FROM refresh_families WHERE expires_at > now()"
        " AND id = (SELECT family_id FROM refresh_tokens WHERE hash = $1) FOR UPDATE",
        hash,
    )
    if family_id is None:
        return None
    row = await tx.fetchrow(
        "SELECT t.used, f.account_id,"
        " CASE WHEN f.retry_of = t.hash AND f.retry_until > clock_timestamp() THEN f.retry_seed END AS seed"
        " FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id WHERE t.hash = $1",
        hash,
    )
    assert row is not None  # the family is locked
    account = await account_by_id(tx, row["account_id"])
    assert account is not None  # there is a foreign key
    return Refresh(family_id, row["used"], row["seed"], account)


async def use_refresh_token(tx: Connection, family_id: UUID, hash: bytes, seed: bytes, retry: timedelta) -> None:
    """Marks a token as used, and keeps the seed of its successor for the time in which it may be retried."""
    await tx.execute("UPDATE refresh_tokens SET used = true WHERE hash = $1", hash)
    await tx.execute(
        "UPDATE refresh_families SET retry_of = $2, retry_seed = $3, retry_until = clock_timestamp() + $4::interval"
        " WHERE id = $1",
        *(family_id, hash, seed, retry),
    )


async def is_used(tx: Connection, hash: bytes) -> bool:
    return await tx.fetchval("SELECT used FROM refresh_tokens WHERE hash = $1", hash) is True


async def drop_family(tx: Connection, id: UUID) -> None:
    """Deletes a family and its tokens."""
    await tx.execute("DELETE FROM refresh_families WHERE id = $1", id)


async def drop_family_of(tx: Connection, hash: bytes) -> None:
    """Deletes the family of a refresh token, if there is one."""
    await tx.execute(
        "DELETE FROM refresh_families WHERE id = (SELECT family_id FROM refresh_tokens WHERE hash = $1)", hash
    )


async def drop_families_of(tx: Connection, account_id: UUID) -> None:
    """Deletes all families of an account."""
    await tx.execute("DELETE FROM refresh_families WHERE account_id = $1", account_id)


async def prune(tx: Connection) -> None:
    """Deletes expired families, seeds past their retry time, and counts of attempts that no longer matter."""
    await tx.execute("DELETE FROM refresh_families WHERE expires_at < now()")
    await tx.execute(
        "UPDATE refresh_families SET retry_of = NULL, retry_seed = NULL, retry_until = NULL WHERE retry_until <= now()"
    )
    await tx.execute("DELETE FROM sign_ins WHERE retry_at < now() - interval '1 day'")


async def clock(connection: Connection) -> datetime:
    """Returns the database's time, by which keys are scheduled and tokens are signed: processes' clocks may differ."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def lock_keys(tx: Connection) -> None:
    await tx.execute("SELECT pg_advisory_xact_lock($1)", KEY_LOCK)


async def signing_keys(connection: Connection) -> list[SigningKey]:
    """Returns all signing keys, oldest first."""
    rows = await connection.fetch("SELECT kid, jwk::text, signs_at FROM signing_keys ORDER BY signs_at, kid")
    return [SigningKey(**row) for row in rows]


async def key_age(connection: Connection) -> float:
    """Returns for how many seconds the newest key that may sign has done so; 0 if there is none."""
    age: float | None = await connection.fetchval(
        "SELECT extract(epoch FROM clock_timestamp() - max(signs_at))::float8 FROM signing_keys"
        " WHERE signs_at <= clock_timestamp()"
    )
    return age or 0.0


async def add_signing_key(tx: Connection, key: SigningKey) -> None:
    await tx.execute(
        "INSERT INTO signing_keys (kid, jwk, signs_at) VALUES ($1, $2::text::json, $3)",
        *(key.kid, key.jwk, key.signs_at),
    )


async def drop_signing_keys(tx: Connection, keys: Sequence[SigningKey]) -> None:
    await tx.execute("DELETE FROM signing_keys WHERE kid = ANY($1)", [key.kid for key in keys])


ACCOUNT = "id, email, name, password_hash, scopes"


def _account(row: asyncpg.Record) -> Account:
    fields = dict(row)
    return Account(**fields | {"scopes": frozenset(fields["scopes"])})

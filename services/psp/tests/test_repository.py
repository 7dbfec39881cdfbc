"""The ledger's file: a result is on disk before it is answered, and a failed batch leaves nothing behind."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from psp.models import Kind
from psp.repository import Store, Tx

from .conftest import charge


async def test_answers_wait_for_the_disk(store: Store, tmp_path: Path) -> None:
    await charge(store)
    other = sqlite3.connect(tmp_path / "psp.sqlite")
    assert other.execute("SELECT kind FROM entries").fetchall() == [(Kind.CHARGE,)]
    other.close()


async def test_an_error_undoes_the_batch_and_the_store_goes_on(store: Store) -> None:
    def broken(tx: Tx) -> None:
        raise sqlite3.OperationalError("disk full")

    answers = await asyncio.gather(charge(store), store.run(broken), return_exceptions=True)
    assert all(isinstance(answer, sqlite3.OperationalError) for answer in answers)
    assert not (await charge(store)).replayed


async def test_a_file_has_one_writer_at_a_time(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "psp.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await charge(store)
    other.execute("ROLLBACK")
    other.close()
    assert not (await charge(store)).replayed

"""A process over the ledger of an earlier one; and one that cannot start."""

import os
import subprocess
import sys

import pytest

from .conftest import CHARGE, Receiver, Serve, key

GOOD = {
    "PSP_DATABASE": "psp.sqlite",
    "WEBHOOK_URL": "http://127.0.0.1:8004/hook",
    "PSP_WEBHOOK_SECRET": "0123456789abcdef",
}


async def test_a_webhook_outlives_a_restart(serve: Serve, receiver: Receiver) -> None:
    receiver.status = 503
    async with serve() as client:
        await client.post("/charges", json=CHARGE, headers=key())
        await client.post("/sandbox/webhooks/replay", json={"order_id": "o1"})
        await receiver.wait_for(1)
    receiver.status = 204
    async with serve():
        await receiver.wait_for(2)
    assert receiver.events[0] == receiver.events[1]


async def test_the_ledger_outlives_a_restart(serve: Serve) -> None:
    async with serve() as client:
        first = await client.post("/charges", json=CHARGE, headers=key())
    async with serve() as client:
        again = await client.post("/charges", json=CHARGE, headers=key())
    assert again.content == first.content


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"WEBHOOK_URL": "ftp://payment"},
            "psp: WEBHOOK_URL must look like http://payment:8000/api/payments/webhooks/psp",
        ),
        (
            {"PSP_DATABASE": "/nowhere/psp.sqlite"},
            "psp: PSP_DATABASE: /nowhere/psp.sqlite cannot be opened (unable to open database file);"
            " its folder must exist and be writable, and this process its only writer",
        ),
    ],
)
def test_a_process_that_cannot_start_ends_with_one_line(given: dict[str, str], line: str) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "psp.main:create", "--port", "0"]
    ended = subprocess.run(command, env=os.environ | GOOD | given, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"{line}\n")

"""The sender of webhooks, against a receiver over a real connection."""

import asyncio
import hashlib
import hmac
import logging
import socket
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from psp.clients import HttpWebhookSender
from psp.models import Entry, Kind, Status

from .conftest import SECRET, Receiver

REFUND = Entry(
    "re_1", Kind.REFUND, "o1:refund", b"", "ch_1", "o1", 4200, "EUR", Status.SUCCEEDED, None, datetime.now(UTC)
)


async def test_an_event_is_signed_over_its_time_and_its_bytes(receiver: Receiver, webhook_url: str) -> None:
    sender = HttpWebhookSender(webhook_url, SECRET, connections=1)
    assert await sender.send(REFUND)
    await sender.close()
    ((header, body),) = receiver.received
    at, _, digest = header.removeprefix("t=").partition(",v1=")
    assert abs(int(at) - time.time()) < 10
    assert digest == hmac.new(SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    (event,) = receiver.events
    assert (event["id"], event["type"], event["charge_id"]) == ("evt_re_1", "refund.succeeded", "ch_1")


@pytest.mark.parametrize("status", [301, 404, 500])
async def test_an_answer_other_than_2xx_is_a_failure(receiver: Receiver, webhook_url: str, status: int) -> None:
    receiver.status = status
    sender = HttpWebhookSender(webhook_url, SECRET, connections=1)
    assert not await sender.send(REFUND)
    await sender.close()


async def test_a_receiver_that_is_down_is_a_failure() -> None:
    sender = HttpWebhookSender("http://127.0.0.1:9/hook", SECRET, connections=1)
    assert not await sender.send(REFUND)
    await sender.close()


@pytest.mark.parametrize("remembers", [True, False])
async def test_a_receiver_that_moved_is_found_when_its_old_address_is_forgotten(
    webhook_url: str, monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    monkeypatch.setattr("psp.clients.ADDRESS_SECONDS", 60 if remembers else 0.05)
    port = urlsplit(webhook_url).port
    address = "127.0.0.2"  # nobody listens there
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
    )
    sender = HttpWebhookSender(f"http://receiver:{port}/hook", SECRET, connections=1)
    assert not await sender.send(REFUND)
    address = "127.0.0.1"
    await asyncio.sleep(0.2)
    assert await sender.send(REFUND) != remembers
    await sender.close()


async def test_an_outage_of_the_receiver_is_logged_when_it_begins_and_when_it_ends(
    receiver: Receiver, webhook_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sender = HttpWebhookSender(webhook_url, SECRET, connections=1)
    for status in (500, 500, 503, 204, 204):
        receiver.status = status
        await sender.send(REFUND)
    await sender.close()
    logged = [record.message for record in caplog.records if record.name == "psp.clients"]
    assert logged == ["sending webhooks fails: answered 500", "sending webhooks works again"]

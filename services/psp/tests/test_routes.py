"""The provider's HTTP interface, over real connections."""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from typing import Any

import httpx2
import pytest

from psp import repository
from psp.clients import signature

from .conftest import CHARGE, SECRET, Receiver, key

JSON = {"Content-Type": "application/json"}


def slug(answer: httpx2.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    return str(problem["type"].rpartition("/")[2])


async def test_a_charge_is_replayed_byte_for_byte(client: httpx2.AsyncClient) -> None:
    first = await client.post("/charges", json=CHARGE, headers=key())
    again = await client.post("/charges", json=CHARGE, headers=key())
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json().items() >= {
        "order_id": "o1", "amount": 4200, "currency": "EUR", "status": "succeeded", "reason": None,
    }.items()  # fmt: skip
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_declined_charge_is_a_definite_answer(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/charges", json=CHARGE | {"payment_method": "tok_declined"}, headers=key())
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["reason"]) == ("failed", "declined")


async def test_a_refund_shows_in_the_lookup_and_in_the_ledger(client: httpx2.AsyncClient) -> None:
    charge = (await client.post("/charges", json=CHARGE, headers=key())).json()
    refund = await client.post("/refunds", json={"order_id": "o1", "amount": 200}, headers=key("o1:refund"))
    by_id = await client.post("/refunds", json={"charge_id": charge["id"], "amount": 4000}, headers=key("r2"))
    assert refund.json()["charge_id"] == by_id.json()["charge_id"] == charge["id"]
    found = (await client.get("/charges", params={"order_id": "o1"})).json()["items"]
    assert [(c["id"], c["refunded"], c["key"]) for c in found] == [(charge["id"], 4200, "o1:charge")]
    page = (await client.get("/ledger", params={"limit": 2})).json()
    rest = (await client.get("/ledger", params={"after": page["next_after"]})).json()
    entries = page["items"] + rest["items"]
    assert [(e["kind"], e["amount"], e["key"]) for e in entries] == [
        ("capture", 4200, "o1:charge"), ("refund", 200, "o1:refund"), ("refund", 4000, "r2"),
    ]  # fmt: skip
    assert rest["next_after"] is None


async def test_refusals(client: httpx2.AsyncClient) -> None:
    await client.post("/charges", json=CHARGE, headers=key())

    async def refused(path: str, header: str, **body: Any) -> tuple[int, str]:
        answer = await client.post(path, json=body, headers=key(header))
        return answer.status_code, slug(answer)

    exceeds = (409, "refund-exceeds-capture")
    assert await refused("/charges", "o1:charge", **(CHARGE | {"amount": 1})) == (422, "key-reused")
    assert await refused("/refunds", "r", order_id="no", amount=1) == (404, "charge-not-found")
    assert await refused("/refunds", "r", order_id="o1", amount=4201) == exceeds
    assert await refused("/refunds", "r", amount=1) == (422, "invalid-request")
    assert await refused("/refunds", "r", order_id="o1", charge_id="c", amount=1) == (422, "invalid-request")
    assert await refused("/sandbox/webhooks/replay", "r", order_id="no") == (404, "order-not-found")


@pytest.mark.parametrize(
    "body",
    [
        CHARGE | {"unknown": 1},
        CHARGE | {"amount": "4200"},
        CHARGE | {"amount": 42.5},
        CHARGE | {"amount": True},
        CHARGE | {"amount": 0},
        CHARGE | {"amount": -1},
        CHARGE | {"amount": 2**63},
        CHARGE | {"order_id": "a\x00b"},
        CHARGE | {"order_id": "\ud800"},
        CHARGE | {"payment_method": "\ud800"},
        CHARGE | {"\ud800": 1},
        CHARGE | {"currency": "eur"},
        CHARGE | {"currency": "EUR\n"},
        {**CHARGE, "order_id": ["o1"]},
        [CHARGE],
        None,
        "text",
    ],
    ids=lambda body: json.dumps(body)[-40:],
)
async def test_an_invalid_body_is_422(client: httpx2.AsyncClient, body: Any) -> None:
    answer = await client.post("/charges", content=json.dumps(body), headers=key() | JSON)
    assert (answer.status_code, slug(answer)) == (422, "invalid-request")
    assert (await client.get("/ledger")).json()["items"] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 60_000,
        b'{"amount":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b'"\xed\xa0\x80"',
        b"NaN",
    ],
    ids=["empty", "cut off", "deep", "long number", "not UTF-8", "raw surrogate", "NaN"],
)
async def test_a_body_that_is_not_json_is_refused(client: httpx2.AsyncClient, content: bytes) -> None:
    answer = await client.post("/charges", content=content, headers=key() | JSON)
    assert (answer.status_code, slug(answer)) in [(400, "malformed-json"), (422, "invalid-request")]


@pytest.mark.parametrize("path", ["/charges", "/refunds", "/sandbox/faults", "/sandbox/webhooks/replay"])
@pytest.mark.parametrize("content", [b'{"order_id": "a", "order_id": "b"}', b'{"x": [{"y": 1, "\\u0079": 1}]}'])
async def test_a_duplicate_member_is_refused(client: httpx2.AsyncClient, path: str, content: bytes) -> None:
    answer = await client.post(path, content=content, headers=key() | JSON)
    assert (answer.status_code, slug(answer)) == (400, "duplicate-member")


async def test_another_content_type_is_415(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/charges", content=json.dumps(CHARGE), headers=key() | {"Content-Type": "text/plain"})
    assert (answer.status_code, slug(answer)) == (415, "unsupported-media-type")


async def test_a_body_over_64_kib_is_413(client: httpx2.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(65):
            yield b" " * 1024

    for content in (b" " * 65_537, chunks()):
        answer = await client.post("/charges", content=content, headers=key() | JSON)
        assert (answer.status_code, slug(answer)) == (413, "body-too-large")


@pytest.mark.parametrize("header", [{}, key(""), key("with space"), key("a" * 256), key("\xe9")])
async def test_an_idempotency_key_is_required(client: httpx2.AsyncClient, header: dict[str, str]) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in header.items()]
    answer = await client.post("/charges", json=CHARGE, headers=headers)
    assert (answer.status_code, slug(answer)) == (400, "idempotency-key-required")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", (404, "not-found")),
        ("DELETE", "/charges", (405, "method-not-allowed")),
        ("GET", "/charges", (422, "invalid-request")),
        ("GET", "/charges?order_id=%00", (422, "invalid-request")),
        ("GET", "/charges?order_id=%ED%A0%80", (422, "invalid-request")),
        ("GET", f"/ledger?after={10**30}", (422, "invalid-request")),
        ("GET", "/ledger?limit=-1", (422, "invalid-request")),
    ],
)
async def test_bad_requests(client: httpx2.AsyncClient, method: str, path: str, expected: tuple[int, str]) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, slug(answer)) == expected


async def test_a_lost_reply_captures_and_the_same_key_shows_it(client: httpx2.AsyncClient) -> None:
    body = CHARGE | {"payment_method": "tok_lost_reply"}
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/charges", json=body, headers=key())
    again = await client.post("/charges", json=body, headers=key())
    assert again.json()["status"] == "succeeded"
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("slow_seconds", [5])
async def test_a_slow_charge_is_definite_before_it_answers(client: httpx2.AsyncClient, receiver: Receiver) -> None:
    body = CHARGE | {"payment_method": "tok_slow"}
    started = time.monotonic()
    slow = asyncio.create_task(client.post("/charges", json=body, headers=key()))
    while not (await client.get("/ledger")).json()["items"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    again = await client.post("/charges", json=body, headers=key())
    assert not slow.done()
    assert again.json() == (await slow).json()
    assert time.monotonic() - started >= 5
    await receiver.wait_for(1)
    assert receiver.events[0]["charge_id"] == again.json()["id"]


async def test_faults_of_the_whole_provider(client: httpx2.AsyncClient) -> None:
    async def fault(**body: Any) -> None:
        assert (await client.post("/sandbox/faults", json=body)).status_code == 200

    async def captures() -> int:
        return len((await client.get("/ledger")).json()["items"])

    await fault(mode="error500", for_requests=2)
    before = await client.post("/charges", json=CHARGE, headers=key())
    assert (before.status_code, slug(before), await captures()) == (500, "provider-error", 0)
    after = await client.post("/charges", json=CHARGE, headers=key())
    assert (after.status_code, await captures()) == (500, 1)
    assert (await client.post("/charges", json=CHARGE, headers=key())).status_code == 200

    await fault(mode="lost-reply")
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/charges", json=CHARGE, headers=key())

    await fault(mode="slow", seconds=0.3)
    started = time.monotonic()
    assert (await client.post("/charges", json=CHARGE, headers=key())).status_code == 200
    assert time.monotonic() - started >= 0.3

    await fault(mode="none")
    assert (await client.get("/sandbox/faults")).json() == {
        "mode": "none", "seconds": 1.5, "for_requests": None,
    }  # fmt: skip
    assert await captures() == 1


async def test_lies_come_before_a_true_answer_and_the_truth_after_it(
    client: httpx2.AsyncClient, receiver: Receiver
) -> None:
    await client.post("/sandbox/faults", json={"mode": "lies"})
    await client.post("/charges", json=CHARGE | {"order_id": "before"}, headers=key("before:charge"))
    receiver.received = []
    answer = (await client.post("/charges", json=CHARGE, headers=key())).json()
    signed = [(int(header.partition(",")[0].removeprefix("t=")), header, body) for header, body in receiver.received]

    assert (answer["status"], answer["amount"]) == ("succeeded", 4200)
    assert Counter(map(_said, receiver.events)) >= Counter(
        [
            *[("charge.failed", "o1", 4200)] * 4,
            ("refund.succeeded", "o1", 4200),
            ("charge.succeeded", "o1", 42000),
            ("charge.failed", "before", 4200),
            ("charge.succeeded", "00000000-0000-0000-0000-000000000000", 4200),
        ]
    )
    assert sum(time.time() - at > 3000 for at, _, _ in signed) == 1
    assert sum(header != signature(SECRET, body, at) for at, header, body in signed) == 1
    assert [each["order_id"] for each in (await client.get("/ledger")).json()["items"]] == ["before", "o1"]
    async with asyncio.timeout(10):
        while ("charge.succeeded", "o1", 4200) not in map(_said, receiver.events):
            await receiver.wait_for(len(receiver.received) + 1)


def _said(event: dict[str, Any]) -> tuple[str, str, int]:
    return event["type"], event["order_id"], event["amount"]


async def test_a_failure_of_the_store_leaves_the_connection_to_the_next_request(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def connection(answer: httpx2.Response) -> object:
        return answer.extensions["network_stream"].get_extra_info("client_addr")

    with monkeypatch.context() as patched:
        patched.setattr(repository, "append", full)
        failed = await client.post("/charges", json=CHARGE, headers=key())
    assert (failed.status_code, slug(failed)) == (500, "provider-error")
    logged = [(record.name, record.exc_info is not None) for record in caplog.records if record.levelname == "ERROR"]
    assert logged == [("psp.routes.wire", True)]

    served = await client.post("/charges", json=CHARGE, headers=key())
    assert served.status_code == 200
    assert connection(served) == connection(failed)


async def test_a_webhook_can_be_replayed(client: httpx2.AsyncClient, receiver: Receiver) -> None:
    charge = (await client.post("/charges", json=CHARGE, headers=key())).json()
    for count in (1, 2):
        replay = await client.post("/sandbox/webhooks/replay", json={"order_id": "o1"})
        assert (replay.status_code, replay.json()) == (202, {"queued": 1})
        await receiver.wait_for(count)
    assert receiver.events[0] == receiver.events[1]
    assert receiver.events[0].items() >= {
        "type": "charge.succeeded", "order_id": "o1", "charge_id": charge["id"], "refund_id": None,
    }.items()  # fmt: skip


async def test_a_client_that_disconnected_gets_a_webhook(client: httpx2.AsyncClient, receiver: Receiver) -> None:
    body = json.dumps(CHARGE).encode()
    head = (
        f"POST /charges HTTP/1.1\r\nHost: psp\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(head.encode() + body)
    writer.close()
    await receiver.wait_for(1)
    assert receiver.events[0]["type"] == "charge.succeeded"


@pytest.mark.parametrize("probe", ["live", "ready", "startup"])
async def test_health(client: httpx2.AsyncClient, probe: str) -> None:
    assert (await client.get(f"/health/{probe}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/charges?order_id=o1", "/charges", "/ledger", "/sandbox/faults", "/openapi.json", "/nothing"),
        *("/health/live", "/health/ready", "/health/startup"),
    ],
)
async def test_head_is_get_without_the_body(client: httpx2.AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for header in ("Content-Length", "Content-Type"):
        assert head.headers[header] == get.headers[header]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("DELETE", "/charges", "GET, HEAD, POST"), ("GET", "/refunds", "POST"), ("HEAD", "/refunds", "POST")],
)
async def test_405_names_all_that_an_address_allows(
    client: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize(
    ("address", "field"),
    [
        *((f"/ledger?limit={bad}", "limit") for bad in ("1e1", "%205", "+5", "5.0", "", "1_0", "0")),
        *((f"/ledger?after={bad}", "after") for bad in ("-1", "%205", "")),
        ("/ledger?limit=1&limit=2", "limit"),
        ("/ledger?offset=1", "offset"),
        ("/charges?order_id=o1&order_id=o2", "order_id"),
        ("/charges?order_id=o1&limit=1", "limit"),
        ("/charges?order_id=", "order_id"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx2.AsyncClient, address: str, field: str) -> None:
    answer = await client.get(address)
    assert (answer.status_code, slug(answer)) == (422, "invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [f"query.{field}"]

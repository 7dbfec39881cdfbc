"""A trace continues over HTTP, the outbox and the broker; a request that is not sampled costs no span."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp.web
import pytest
from aiohttp.test_utils import TestServer
from fastapi import APIRouter

from chassis import outbox, tracing
from chassis.app import create_app
from chassis.batching import Batcher
from chassis.db import Database
from chassis.db.statements import summary
from chassis.errors import Unavailable
from chassis.http import HttpClient
from chassis.ids import uuid7
from chassis.messages import Event, Message
from chassis.messaging import Consumer, handles
from chassis.relay import Relay
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of
from chassis.testing.fixtures import Ended
from chassis.tracing import Span

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"
TRACE = SAMPLED[3:35]


class Lit(Message):
    type = "lamps.lit.v1"
    consumers = ("lamps",)
    watts: int


def named(spans: list[Span], name: str) -> Span:
    (found,) = (span for span in spans if span.name == name)
    return found


def sampled(number: int) -> tracing.Context:
    context = tracing.extract(f"00-{number:032x}-{number:016x}-01")
    assert context is not None
    return context


async def request(path: str, **headers: str | bytes) -> Any:
    router = APIRouter()

    @router.get("/lamps/{name}")
    async def find(name: str) -> str:
        tracing.describe("lamps.name", name)
        return {"desk": tracing.traceparent() or ""}[name]

    app = create_app(ServiceSettings(log_sample_ratio=0), "lamps", title="Lamps", routers=[router])
    async with client_of(app) as client:
        return await client.get(path, headers=headers)


async def test_a_request_joins_its_callers_trace_under_its_routes_name(spans: list[Span]):
    response = await request("/lamps/desk", traceparent=SAMPLED)

    (span,) = spans
    assert (span.name, span.kind) == ("GET /lamps/{name}", tracing.SERVER)
    assert (span.trace_id, span.parent_id) == (TRACE, SAMPLED[36:52])
    assert span.span_id in response.json()
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["lamps.name"] == "desk"
    assert span.error is None


async def test_a_request_that_fails_is_an_error(spans: list[Span]):
    await request("/lamps/none", traceparent=SAMPLED)

    assert spans[0].error == "500"


@pytest.mark.parametrize("sent", [UNSAMPLED, SAMPLED[:-2] + "02"])
async def test_a_request_that_is_not_sampled_has_no_span_but_keeps_its_trace_id(spans: list[Span], sent: str):
    assert (await request("/lamps/desk", traceparent=sent)).json() == sent
    assert not spans


@pytest.mark.parametrize("sent", ["", "00", SAMPLED + "-00", SAMPLED.upper(), SAMPLED.replace(TRACE, "0" * 32), "é"])
async def test_a_malformed_traceparent_is_replaced(spans: list[Span], sent: str):
    found = (await request("/lamps/desk", traceparent=sent.encode("latin-1"))).json()

    assert tracing.TRACEPARENT.fullmatch(found)
    assert TRACE not in found


def test_all_services_sample_the_same_share_of_the_traces(spans: list[Span]):
    tracing.export_to(Ended(spans.append), 0.25)
    found = [tracing.receive(None) for _ in range(4000)]
    share = sum(context.recording for context in found if context is not None) / len(found)
    assert 0.2 < share < 0.3
    for context in found:
        assert context is not None
        elsewhere = tracing.extract(f"00-{context.trace_id}-{'1' * 16}-00")
        assert elsewhere is not None
        assert elsewhere.recording == context.recording


async def test_without_an_endpoint_nothing_is_traced_but_the_trace_id_is_passed_on():
    assert (await request("/lamps/desk")).json() == ""
    assert (await request("/lamps/desk", traceparent=SAMPLED)).json() == SAMPLED


async def test_a_call_carries_its_span_to_the_other_service(spans: list[Span]):
    seen: list[str | None] = []

    async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.headers.get("traceparent"))
        return aiohttp.web.Response(status=int(request.path.strip("/")))

    app = aiohttp.web.Application()
    app.router.add_get("/{status}", answer)
    async with TestServer(app) as server, HttpClient(str(server.make_url("")), name="chairs") as chairs:
        with tracing.inside(sampled(7)):
            await chairs.get("/200")
            with pytest.raises(Unavailable):
                await chairs.request("GET", "/503")
        await chairs.get("/200")

    good, bad = spans
    assert (good.name, good.kind, good.attributes["server.address"]) == ("GET chairs", tracing.CLIENT, "chairs")
    assert (good.error, bad.error) == (None, "503")
    assert seen == [good.traceparent, bad.traceparent, None]


async def test_statements_and_the_commit_are_spans_named_by_command_and_table(spans: list[Span], db: Database):
    with tracing.inside(sampled(7)):
        async with db.transaction() as tx:
            await outbox.put(tx, [(uuid7(), Lit(watts=7))])
            await tx.fetchval("SELECT count(*) FROM inbox WHERE consumer = $1", "secret")
    async with db.connection() as connection:
        await connection.fetchval("SELECT 1")

    assert [span.name for span in spans] == ["INSERT outbox", "SELECT inbox", "COMMIT"]
    assert {span.parent_id for span in spans} == {f"{7:016x}"}
    assert "secret" not in str([span.attributes for span in spans])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", "SELECT"),
        ("select a from lamps where b", "SELECT lamps"),
        ("WITH gone AS (DELETE FROM outbox RETURNING id) INSERT INTO archive SELECT id FROM gone", "DELETE outbox"),
        ("INSERT INTO inbox SELECT $1 ON CONFLICT DO NOTHING RETURNING event_id", "INSERT inbox"),
        ("WITH seen AS (INSERT INTO inbox SELECT $1 RETURNING event_id) UPDATE lamps SET a = 1", "UPDATE lamps"),
        ("UPDATE lamps SET a = 1", "UPDATE lamps"),
        ("SELECT extract(epoch FROM clock_timestamp() - max(at)) FROM lamps WHERE at < now()", "SELECT lamps"),
        ("SELECT trim(both from name), substring(name FROM 9) FROM lamps", "SELECT lamps"),
        ("SELECT (SELECT count(*) FROM bulbs WHERE lamp = l.id) FROM lamps l", "SELECT lamps"),
        ("SELECT count(*) FROM (SELECT FROM lamps LIMIT 9) AS counted", "SELECT lamps"),
        ("SELECT n FROM unnest($1::int[]) AS n JOIN lamps USING (n)", "SELECT"),
        ("WITH a AS (SELECT id FROM lamps) SELECT id FROM a", "SELECT lamps"),
        ("WITH due AS (SELECT id FROM lamps FOR UPDATE SKIP LOCKED)\n UPDATE lamps SET a = 1", "UPDATE lamps"),
        ("SELECT a FROM lamps\n FOR NO KEY\n UPDATE", "SELECT lamps"),
        ("INSERT INTO lamps AS l (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "INSERT lamps"),
    ],
)
def test_a_statement_has_a_short_name(statement: str, expected: str):
    assert summary(statement) == expected


async def test_one_trace_leads_from_a_request_through_outbox_and_broker_to_what_its_event_causes(
    spans: list[Span], db: Database, topology: Any, eventually: Callable[..., Any]
):
    async def handler(events: list[Event[Lit]]) -> None:
        async with db.transaction() as tx:
            await tx.execute("SELECT 1 FROM inbox")
            caused.extend([tracing.traceparent_of(event.subject) for event in events])

    caused: list[str | None] = []
    with Span("request", tracing.SERVER, sampled(7)) as asked:
        async with db.transaction() as tx:
            await outbox.put(tx, [(uuid7(), Lit(watts=7))])
    async with Relay(db, topology.url, "lamps", [Lit]), Consumer(topology.url, topology.queue, [handles(Lit, handler)]):
        await eventually(lambda: "process lamps" in {span.name for span in spans})

    sent, processed = named(spans, "send lamps.lit.v1"), named(spans, "process lamps")
    assert {span.trace_id for span in spans} == {f"{7:032x}"}
    assert (sent.parent_id, sent.kind) == (asked.span_id, tracing.PRODUCER)
    assert (processed.parent_id, processed.kind) == (sent.span_id, tracing.CONSUMER)
    assert named(spans, "SELECT inbox").parent_id == processed.span_id
    assert caused == [processed.traceparent]


async def test_each_event_of_a_batch_continues_its_own_trace(spans: list[Span]):
    events = [Event(uuid7(), str(n), Lit(watts=n), f"00-{n:032x}-{n:016x}-0{n % 2}") for n in (1, 2, 3)]

    with tracing.processing("lamps", Lit.type, events), tracing.span("INSERT outbox"):
        caused = {event.subject: tracing.traceparent_of(event.subject) for event in events}

    one, three = (span for span in spans if span.name == "process lamps")
    batch = named(spans, "process lamps (batch)")
    assert caused == {"1": one.traceparent, "2": events[1].traceparent, "3": three.traceparent}
    assert [link.span_id for link in batch.links] == [one.span_id, three.span_id]
    assert batch.trace_id not in {one.trace_id, three.trace_id}
    assert named(spans, "INSERT outbox").parent_id == batch.span_id


async def test_what_an_event_without_a_trace_causes_does_not_join_the_trace_of_another(spans: list[Span], db: Database):
    traced, untraced, other = uuid7(), uuid7(), uuid7()
    events = [Event(uuid7(), str(traced), Lit(watts=1), SAMPLED), Event(uuid7(), str(untraced), Lit(watts=2), None)]

    with tracing.processing("lamps", Lit.type, events):
        async with db.transaction() as tx:
            await outbox.put(tx, [(subject, Lit(watts=7)) for subject in (traced, untraced)])
            await outbox.put(tx, [(untraced, Lit(watts=8))], {untraced: UNSAMPLED})
            await outbox.put(tx, [(other, Lit(watts=9))])
            rows = await tx.fetch("SELECT subject, traceparent FROM outbox ORDER BY id")

    processed = named(spans, "process lamps").traceparent
    assert [(row["subject"], row["traceparent"]) for row in rows] == [
        (str(traced), processed),
        (str(untraced), None),
        (str(untraced), UNSAMPLED),
        (str(other), processed),
    ]


async def test_the_event_that_fails_is_the_error(spans: list[Span]):
    events = [Event(uuid7(), str(n), Lit(watts=n), f"00-{n:032x}-{n:016x}-01") for n in (1, 2)]

    with tracing.processing("lamps", Lit.type, events):
        tracing.failed("2", ValueError("secret"))

    assert [span.error for span in spans if span.name == "process lamps"] == [None, "ValueError"]


async def test_a_shared_run_belongs_to_its_only_request_or_is_linked_to_all_of_them(spans: list[Span]):
    async def run(items: list[int]) -> list[int | Exception]:
        with tracing.span("COMMIT"):
            await asyncio.sleep(0.01)
        return list(items)

    async def ask(batcher: Batcher[int, int], n: int) -> None:
        with tracing.inside(sampled(n)):
            await batcher.submit(n)

    batcher = Batcher(run)
    await ask(batcher, 9)
    await asyncio.gather(*(ask(batcher, n) for n in (1, 2, 3)))

    batch = named(spans, "batch")
    alone, together = (span for span in spans if span.name == "COMMIT")
    assert alone.parent_id == f"{9:016x}"
    assert together.parent_id == batch.span_id
    assert [link.span_id for link in batch.links] == [f"{n:016x}" for n in (1, 2, 3)]


def test_a_span_of_the_past_is_kept_for_a_trace_that_is_not_sampled(spans: list[Span]):
    with tracing.inside(tracing.extract(UNSAMPLED)):
        tracing.keep("order", 100.0, 112.5, {"quayside.order.status": "EXPIRED"}, error="EXPIRED")

    (span,) = spans
    assert (span.trace_id, span.parent_id, span.error) == (TRACE, UNSAMPLED[36:52], "EXPIRED")
    assert (span.start, span.end) == (100_000_000_000, 112_500_000_000)

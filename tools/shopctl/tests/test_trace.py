"""`shopctl trace` and `shopctl logs --order`: what happened to one order, from databases, logs and Jaeger's answers."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID

import asyncpg
import pytest
from typer.testing import CliRunner

from chassis.ids import floor
from shopctl.main import app
from shopctl.units import seconds

PLACED = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ORDER = UUID("01a21679-de57-7d25-a030-efeedce67d12")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def after(milliseconds: float) -> datetime:
    return PLACED + timedelta(milliseconds=milliseconds)


def message(milliseconds: float, number: int) -> UUID:
    """The ID of a message that was written so long after the order."""
    return UUID(int=floor(after(milliseconds)).int | 7 << 76 | 2 << 62 | number)


async def place(order: str, catalog: str) -> None:
    """Stores an order that waits for its payment, and its messages. Three seconds passed until the first was sent."""
    reserve, reserved, charge = message(1, 1), message(3010, 2), message(3020, 3)
    connection = await asyncpg.connect(order)
    await connection.execute(
        "INSERT INTO orders (id, principal, idempotency_key, request_hash, cart_version, status, seq, total, currency,"
        " lines, payment_method, shipping_address, created_at, expires_at)"
        " VALUES ($1, 'ann', 'k', '', '1', 'RESERVED', 2, 1, 'EUR', '[]', 'tok_visa', '{}', $2, $2)",
        *(ORDER, PLACED),
    )
    await connection.executemany(
        "INSERT INTO order_history (order_id, seq, status, at) VALUES ($1, $2, $3, $4)",
        [(ORDER, 1, "PENDING", PLACED), (ORDER, 2, "RESERVED", after(3019))],
    )
    await connection.execute(ARCHIVED, reserve, "catalog.reserve-stock.v1", str(ORDER), after(3001))
    await connection.execute(
        "INSERT INTO outbox (id, routing_key, subject, data) VALUES ($1, 'payment.charge.v1', $2, '{}')",
        *(charge, str(ORDER)),
    )
    await connection.execute(RECEIVED, "order", reserved, after(3015))
    await connection.close()
    connection = await asyncpg.connect(catalog)
    await connection.execute(ARCHIVED, reserved, "catalog.stock-reserved.v1", str(ORDER), after(3512))
    await connection.execute(RECEIVED, "catalog", reserve, after(3005))
    await connection.close()


ARCHIVED = "INSERT INTO outbox_archive (id, routing_key, subject, data, published_at) VALUES ($1, $2, $3, '{}', $4)"
RECEIVED = "INSERT INTO inbox (consumer, event_id, received_at) VALUES ($1, $2, $3)"


@pytest.fixture
def cli(database: Callable[[str], str], tmp_path: Path) -> CliRunner:
    """A command line whose shop has one order."""
    urls = {name: database(name) for name in ("order", "catalog", "payment")}
    asyncio.run(place(urls["order"], urls["catalog"]))
    ours = {f"SHOP_{name.upper()}_DATABASE_URL": url for name, url in urls.items()}
    ours |= {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native", "COLUMNS": "100"}
    return CliRunner(env=ours)


def test_without_a_trace_the_history_shows_who_sent_what_when(cli: CliRunner) -> None:
    result = cli.invoke(app, ["trace", str(ORDER)])

    assert result.exit_code == 0, result.output
    head, source, _, *rows = result.stdout.splitlines()
    assert head == f"order {ORDER}  RESERVED  placed 2026-11-24 10:00:00 UTC"
    assert "there is no Jaeger" in source
    assert [*map(columns, rows)] == [
        ("├ order PENDING", "0.0 ms", ""),
        ("│ ├ order → catalog: catalog.reserve-stock.v1", "1.0 ms", "4.0 ms"),
        ("│ │   waited 3.00 s in the outbox", "", ""),
        ("│ └ catalog → order: catalog.stock-reserved.v1", "3.01 s", ""),
        ("└ order RESERVED", "3.02 s", ""),
        ("  └ order → payment: payment.charge.v1", "3.02 s", ""),
        ("      not published yet", "", ""),
    ]
    assert "····················" in rows[1]  # the time in the outbox


async def confirm(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO order_history (order_id, seq, status, at) VALUES ($1, 3, 'CONFIRMED', $2)", ORDER, after(4000)
    )
    await connection.execute(ARCHIVED, message(4000, 4), "order.confirmed.v1", str(ORDER), after(4001))
    await connection.close()


def test_the_history_of_a_settled_order_ends_with_the_messages_of_its_last_step(cli: CliRunner) -> None:
    asyncio.run(confirm(cli.env["SHOP_ORDER_DATABASE_URL"] or ""))

    result = cli.invoke(app, ["trace", str(ORDER)])

    assert [columns(row)[0] for row in result.stdout.splitlines()[-2:]] == [
        "└ order CONFIRMED",
        "  └ order → catalog, cart: order.confirmed.v1",
    ]


def columns(row: str) -> tuple[str, str, str]:
    """The label, the offset and the duration of a drawn step."""
    found = re.fullmatch(r"(.*?)(?: +\+([\d.]+ \w+) +([\d.]+ \w+)?.*)?", row)
    assert found
    return found[1], found[2] or "", found[3] or ""


@pytest.mark.parametrize("beginning", ["01a2", "01a21679-de57-7", "01A21679DE57", "01a21679de577d25a030efeedce67d12"])
def test_the_beginning_of_an_order_id_is_enough(cli: CliRunner, beginning: str) -> None:
    assert f"order {ORDER}" in cli.invoke(app, ["trace", beginning]).stdout


@pytest.mark.parametrize("command", [["trace"], ["logs", "--order"]], ids=" ".join)
@pytest.mark.parametrize("id", ["", "x", "[/red]", "%", "../x", "01a3", "-1", "01a21679-de5-", "0" * 99, "\x1b[2J"])
def test_an_unknown_order_is_one_line_and_a_failure(cli: CliRunner, command: list[str], id: str) -> None:
    result = cli.invoke(app, [*command, "--", id] if command == ["trace"] else ["logs", f"--order={id}"])
    assert result.exit_code == 1
    assert result.output.startswith("There is no order ")
    assert len(result.output.splitlines()) == 1
    assert "\x1b[2J" not in result.output


async def again(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO orders SELECT (jsonb_populate_record(orders, jsonb_build_object("
        "'id', '01a21679-de57-7d25-a030-efeedce67d13', 'idempotency_key', 'l', 'cart_version', '2'))).* FROM orders"
    )
    await connection.close()


def test_an_ambiguous_beginning_is_a_failure(cli: CliRunner) -> None:
    asyncio.run(again(cli.env["SHOP_ORDER_DATABASE_URL"] or ""))
    for command in (["trace", "01a2"], ["logs", "--order", "01a2"]):
        result = cli.invoke(app, command)
        assert (result.exit_code, result.output) == (1, "Several orders begin with 01a2; give more of the ID.\n")


# --- Jaeger --------------------------------------------------------------------------------------

SPANS = [
    # (service, ID, parent, name, start and duration in µs, tags)
    ("edge", "a", None, "POST /api/orders", 0, 20_000, {}),
    ("order", "b", "a", "POST /api/orders", 2_000, 15_000, {"quayside.order.id": str(ORDER)}),
    ("order", "c", "b", "send payment.charge.v1", 420_000, 5_000, {"quayside.outbox.wait": 0.4}),
    ("payment", "d", "c", "process payment", 430_000, 70_000, {"messaging.batch.message_count": 3}),
    ("payment", "e", "d", "charge", 440_000, 50_000, {"error": True, "error.type": "TimeoutError"}),
]


def document() -> dict[str, object]:
    """A trace as Jaeger's API gives it."""
    spans = [
        {
            "traceID": TRACE,
            "spanID": id,
            "operationName": name,
            "references": [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": parent}] if parent else [],
            "startTime": int(PLACED.timestamp() * 1e6) + start,
            "duration": duration,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "processID": service,
        }
        for service, id, parent, name, start, duration, tags in SPANS
    ]
    return {"data": [{"traceID": TRACE, "spans": spans, "processes": {s[0]: {"serviceName": s[0]} for s in SPANS}}]}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Yields the address of a server with this answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_spans_are_drawn_as_a_tree_with_errors_and_waits(cli: CliRunner) -> None:
    with answering(200, json.dumps(document()).encode()) as url:
        result = cli.invoke(app, ["trace", str(ORDER)], env={"SHOP_JAEGER_URL": url})
    assert result.exit_code == 0, result.output
    assert [columns(row) for row in result.stdout.splitlines()[3:]] == [
        ("edge POST /api/orders", "0.0 ms", "20.0 ms"),
        ("└ order POST /api/orders", "2.0 ms", "15.0 ms"),
        ("  └ order send payment.charge.v1", "20.0 ms", "5.0 ms"),
        ("    │ waited 400 ms in the outbox", "", ""),
        ("    └ payment process payment", "430 ms", "70.0 ms"),
        ("      │ in a batch of 3", "", ""),
        ("      └ payment charge", "440 ms", "50.0 ms"),
        ("          TimeoutError", "", ""),
    ]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (404, b"", "Jaeger has no trace of this order"),
        (200, b'{"data": []}', "Jaeger has no trace of this order"),
        (500, b"", "Jaeger answered 500"),
        (200, b"<html>", "not Jaeger"),
        (200, b"[]", "not Jaeger"),
        (200, b'{"data": [{"spans": [{}]}]}', "not Jaeger"),
        (200, b'{"data": [1]}', "not Jaeger"),
    ],
)
def test_without_an_answer_of_jaeger_the_history_is_shown(cli: CliRunner, status: int, body: bytes, why: str) -> None:
    with answering(status, body) as url:
        result = cli.invoke(app, ["trace", str(ORDER)], env={"SHOP_JAEGER_URL": url})
    assert result.exit_code == 0, result.output
    assert why in result.stdout
    assert "catalog.reserve-stock.v1" in result.stdout


def test_a_jaeger_that_does_not_run_is_said_so(cli: CliRunner) -> None:
    result = cli.invoke(app, ["trace", str(ORDER)], env={"SHOP_JAEGER_URL": "http://127.0.0.1:9"})
    assert "Jaeger does not answer" in result.stdout


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00004, "0.0 ms"), (0.0312, "31.2 ms"), (0.4, "400 ms"), (3, "3.00 s"), (61, "61.0 s"), (600, "10.0 min")],
)
def test_durations_have_a_unit_that_suits_them(value: float, text: str) -> None:
    assert seconds(value) == text


# --- logs ----------------------------------------------------------------------------------------


def write(run: Path, name: str, *lines: str) -> None:
    (run / "logs").mkdir(exist_ok=True)
    (run / "logs" / name).write_text("".join(f"{line}\n" for line in lines))


def line(time: str, message: str, **fields: object) -> str:
    """A line of a service's log."""
    return json.dumps({"time": f"2026-11-24T{time}Z", "level": "warning", "logger": "x", "message": message, **fields})


def test_the_lines_about_an_order_are_sorted_by_time_over_all_logs(cli: CliRunner, tmp_path: Path) -> None:
    write(tmp_path, "order.log.1", line("09:59:59.000", "before a restart", order_id=str(ORDER)))
    write(tmp_path, "order.log", line("10:00:02.000", "second", order_id=str(ORDER)), line("10:00:02.000", "another"))
    write(tmp_path, "payment.log", line("10:00:01.000", "first", subject=str(ORDER), attempt=2, exception="Stack\n 1"))
    write(tmp_path, "postgres.log", "2026-11-24 10:00:03.000 UTC LOG: x", f"DETAIL: {ORDER} \x1b[2J[/red]")

    result = cli.invoke(app, ["logs", "--order", "01a2"])

    assert result.exit_code == 0, result.output
    assert [row.rstrip() for row in result.stdout.splitlines()] == [
        "2026-11-24 09:59:59.000 order       warning before a restart",
        "2026-11-24 10:00:01.000 payment     warning first  attempt=2",
        "    Stack",
        "     1",
        "2026-11-24 10:00:02.000 order       warning second",
        f"2026-11-24 10:00:03.000 postgres    DETAIL: {ORDER} \ufffd[2J[/red]",
    ]
    assert "4 lines are about order" in result.stderr


def test_an_order_without_a_line_is_said_so_with_the_way_to_its_steps(cli: CliRunner, tmp_path: Path) -> None:
    result = cli.invoke(app, ["logs", "--order", str(ORDER)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"No line is about order {ORDER}." in result.stderr
    assert f"`shopctl trace {ORDER}`" in result.stderr


def test_without_the_database_a_whole_id_is_enough(cli: CliRunner, tmp_path: Path) -> None:
    write(tmp_path, "order.log", line("10:00:00.000", "the database does not answer", order_id=str(ORDER)))
    nowhere = {"SHOP_ORDER_DATABASE_URL": "postgresql://auditor@127.0.0.1:9/order"}
    assert "does not answer" in cli.invoke(app, ["logs", "--order", str(ORDER)], env=nowhere).stdout
    refused = cli.invoke(app, ["logs", "--order", "01a2"], env=nowhere)
    assert refused.exit_code == 1
    assert "give the whole ID" in refused.stderr


def test_an_order_cannot_be_followed(cli: CliRunner) -> None:
    assert cli.invoke(app, ["logs", "--follow", "--order", "01a2"]).exit_code == 2

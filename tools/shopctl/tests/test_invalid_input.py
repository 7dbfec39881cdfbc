"""Invalid arguments, environment variables and files are reported in one line, without a traceback."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from shopctl.main import app

ATTEMPT = {"key": "a", "body": {}, "status": 202}

NUMBERS = ["-1", "x", "", "nan", "inf", "1e999", "99999999999999999999", "１２"]
OPTIONS = {
    "prune --days": [*NUMBERS, "0", "99999999", "1.5"],
    "payments list --limit": [*NUMBERS, "0"],
    "logs --lines": NUMBERS,
    "audit --wait": NUMBERS,
    "bench --orders": [*NUMBERS, "0"],
    "bench --seconds": [*NUMBERS, "0"],
    "bench --rounds": [*NUMBERS, "0"],
    "bench --base": ["", "no-such-commit", "--all", "[/]"],
    "bench --stock": [*NUMBERS, "0"],
    "bench-scale --up-to": [*NUMBERS, "0"],
    "bench-scale --seconds": [*NUMBERS, "0"],
    "bench --only": ["", ",", "checkout,", "[/]", "money"],
    "outbox replay --since": [
        "",
        "x",
        "yesterday",
        "12:00",
        "2026-02-30",
        "2999-01-01",
        "0001-01-01T00:00+14:00",
        "[/]",
    ],
    "outbox replay --since 2026-01-01 --service": ["", "cart", "nobody", "[/]"],
    "logs": ["nobody", "[/]", "--", "-x"],
    "logs --order": ["", "nobody", "[/]", "01a2"],
    "trace": ["", "nobody", "[/]", "01a2", "-x"],
    "top --interval": [*NUMBERS, "0", "61"],
    "top --once --prometheus": ["", "x", "ftp://shop", "http://", "http://[::"],
    "audit --attempts": ["", "/nowhere", "."],
    "audit --poisoned": ["", "/nowhere", "."],
    "model scheduling --nodes": [*NUMBERS, "0"],
    "model scheduling --cpu": [*NUMBERS, "0"],
    "model scheduling --memory": [*NUMBERS, "0"],
    "model scheduling --replicas": [*NUMBERS, "0"],
    "model scheduling --load": NUMBERS,
    "model balancing --arrivals": [*NUMBERS, "0"],
    "model balancing --replicas": [*NUMBERS, "0"],
    "model balancing --service": [*NUMBERS, "0"],
    "model balancing --slow": [*NUMBERS, "0", "2"],
    "model balancing --clients": [*NUMBERS, "0"],
    "model balancing --measure": NUMBERS,
    "model availability --replicas": [*NUMBERS, "0"],
    "model availability --pod-days": [*NUMBERS, "0"],
    "model availability --node-days": [*NUMBERS, "0"],
    "model availability --store-days": [*NUMBERS, "0"],
    "model availability --repair-minutes": NUMBERS,
    "model availability --objective": [*NUMBERS, "0", "100"],
    "model capacity --bench": ["", "/nowhere", ".", "pyproject.toml"],
    "model capacity --rate": [*NUMBERS, "0", "100000"],
    "model capacity --machines": [*NUMBERS, "0"],
    "model capacity --cores": [*NUMBERS, "0"],
    "model capacity --replicas": [*NUMBERS, "0"],
    "model capacity --apart": NUMBERS,
    "model capacity --core-hour": NUMBERS,
    "model capacity --gib-hour": NUMBERS,
    "dead-letters list": ["nobody", "", "[/]"],
    "dead-letters show": ["", "nobody"],
    "dead-letters replay": ["nobody", "", "[/]"],
    "lab open": ["", "0", "99", "-1", "x", "../09", "[/]"],
    "lab grade": ["", "99", "[/]"],
    "lab answer 99": ["", "a"],
    "lab read --reads": [*NUMBERS, "0", "10001"],
    "lab read --clients": [*NUMBERS, "0", "65"],
    "lab read --addresses": [*NUMBERS, "0", "251"],
    "lab read --pause": [*NUMBERS, "11"],
    "lab read --through": ["", "nobody", "[/]"],
    "": ["nobody", "--nobody", "[/]"],
}

ENVIRONMENTS = {
    "SHOP_PORT_OFFSET": ["abc", "60000", "56862", "-1", "1.5", "1_000", "99999999999999999999", "１２"],
    "SHOP_RUN": ["/dev/null", "/dev/null/run", "/proc/run"],
    "RUNTIME": ["podman", "[/]"],
    "SHOP_URL": ["x", "ftp://shop", "http://", "http://shop:port", "http://[::"],
    "SHOP_BROKER_URL": ["x", "http://shop", "amqp://", "amqp://shop:port"],
    "SHOP_BROKER_URL_FILE": ["/nowhere", "/", "/bin/true"],
    "SHOP_PSP_URL": ["x", "http://shop:port"],
    "SHOP_PROMETHEUS_URL": ["x", "http://shop:port"],
    "SHOP_PAYMENT_DATABASE_URL": ["x", "http://shop", "postgresql://", "postgresql://shop:port/payment"],
    "SHOP_PAYMENT_DATABASE_URL_FILE": ["/nowhere"],
}
READER = {
    "SHOP_URL": "seed",
    "SHOP_BROKER_URL": "dead-letters list",
    "SHOP_PSP_URL": "audit",
    "SHOP_PROMETHEUS_URL": "top",
    "SHOP_PAYMENT_DATABASE_URL": "payments list",
}
READING = ["status", "logs", "payments list", "trace 01a2", "dead-letters list", "audit", "seed", "prune"]

LINES = {
    "not JSON": b"hello",
    "cut": b'{"key": "a", "body": {}, "sta',
    "an array": b"[]",
    "no key": b'{"body": {}}',
    "no body": b'{"key": "a"}',
    "a key of another type": b'{"key": 1, "body": {}}',
    "a body of another type": b'{"key": "a", "body": "b"}',
    "a status of another type": b'{"key": "a", "body": {}, "status": "202"}',
    "an id that is none": b'{"key": "a", "body": {}, "order_id": "1"}',
    "a time that is none": b'{"key": "a", "body": {}, "at": "now"}',
    "a time before time": b'{"key": "a", "body": {}, "at": -1e18}',
    "a time after time": b'{"key": "a", "body": {}, "at": 1e300}',
    "an endless time": b'{"key": "a", "body": {}, "at": 1e999}',
    "a byte order mark": b'\xef\xbb\xbf{"key": "a", "body": {}}',
    "UTF-16": '{"key": "a", "body": {}}'.encode("utf-16"),
    "not UTF-8": b'{"key": "\xff", "body": {}}',
    "deep": b'{"key": "a", "body": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "zeros": b"\0" * 100,
}


@pytest.fixture
def cli(tmp_path: Path) -> CliRunner:
    ours = {"SHOP_RUN": str(tmp_path / "run"), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native", "COLUMNS": "200"}
    return CliRunner(env=ours)


@pytest.mark.parametrize(
    ("command", "value"), [(command, value) for command, values in OPTIONS.items() for value in values]
)
def test_an_invalid_value_is_rejected(cli: CliRunner, command: str, value: str) -> None:
    result = cli.invoke(app, [*command.split(), value])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)
    assert result.output.strip()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ENVIRONMENTS.items() for value in values]
)
def test_an_invalid_environment_is_rejected(cli: CliRunner, name: str, value: str) -> None:
    command = READER.get(name.removesuffix("_FILE"), "status")
    result = cli.invoke(app, command.split(), env={name: value})
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1 or (command, result.exit_code) == ("audit", 2)
    assert len(result.output.splitlines()) == 1


def test_an_invalid_port_offset_is_named_with_the_valid_range(cli: CliRunner) -> None:
    for command in ("up", "down", "status"):
        result = cli.invoke(app, [command], env={"SHOP_PORT_OFFSET": "60000"})
        assert result.output == "SHOP_PORT_OFFSET is '60000'; it must be a whole number from 0 to 56843.\n"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"\xff", b"{}"])
def test_another_server_at_the_shop_s_address_is_reported(cli: CliRunner, body: bytes) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200 if self.path.endswith("/token") else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """The client may close the connection early."""

    with Quiet(("127.0.0.1", 0), Hello) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        result = cli.invoke(app, ["seed"], env={"SHOP_URL": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
    assert result.exit_code == 1
    assert "The demo catalog could not be loaded: POST /api/" in result.output


@pytest.mark.parametrize("what", LINES)
def test_invalid_attempts_are_named_with_their_line(cli: CliRunner, tmp_path: Path, what: str) -> None:
    file = tmp_path / "attempts.jsonl"
    file.write_bytes(json.dumps(ATTEMPT).encode() + b"\n\n" + LINES[what] + b"\n")
    result = cli.invoke(app, ["audit", "--attempts", str(file)])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    assert f"{file}, line 3: " in result.output


def test_poisoned_ids_that_are_not_text_are_rejected(cli: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(b"\xff\0")
    result = cli.invoke(app, ["audit", "--poisoned", str(tmp_path / "ids")])
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)


SPOILT = {
    "secrets are cut": ("secrets", b'{"postgres": "a'),
    "secrets are a list": ("secrets", b"[]"),
    "secrets are not text": ("secrets", b'{"postgres": 1}'),
    "secrets are binary": ("secrets", b"\xff\0"),
    "secrets are a directory": ("secrets", None),
    "the runtime is binary": ("runtime", b"\xff\0"),
    "the runtime is a directory": ("runtime", None),
    "a pid is cut": ("pids/order", b"1"),
    "a pid is binary": ("pids/order", b"\xff\0"),
    "a pid is a directory": ("pids/order", None),
    "the pids are a file": ("pids", b""),
    "the logs are a file": ("logs", b""),
}


@pytest.mark.parametrize("command", [*READING, "down", "dead-letters replay order"])
@pytest.mark.parametrize("what", SPOILT)
def test_damaged_state_is_no_traceback(cli: CliRunner, tmp_path: Path, what: str, command: str) -> None:
    spoil(tmp_path / "run", *SPOILT[what])
    result = cli.invoke(app, command.split())
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.output.strip()


@pytest.mark.parametrize("what", [what for what in SPOILT if "pid" not in what])  # it must know what to stop
def test_reset_removes_damaged_state(cli: CliRunner, tmp_path: Path, what: str) -> None:
    spoil(tmp_path / "run", *SPOILT[what])
    result = cli.invoke(app, ["reset", "--yes"])
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "run").exists()


def test_unreadable_secrets_are_not_replaced(cli: CliRunner, tmp_path: Path) -> None:
    spoil(tmp_path / "run", "secrets", b'{"postgres": "a')
    result = cli.invoke(app, ["payments", "list"])
    assert "make reset" in result.output
    assert (tmp_path / "run" / "secrets").read_bytes() == b'{"postgres": "a'


def spoil(run: Path, name: str, content: bytes | None) -> None:
    file = run / name
    file.parent.mkdir(parents=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)


SURROUNDINGS = {
    "ASCII alone": {"PYTHONIOENCODING": "ascii"},
    "the C locale, taken at its word": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("what", SURROUNDINGS)
@pytest.mark.parametrize("command", ["--help", "status", "logs ☃"])
def test_unprintable_text_is_no_traceback(tmp_path: Path, what: str, command: str) -> None:
    ours = {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native"}
    argv = [sys.executable, "-m", "shopctl", *command.split()]
    done = subprocess.run(argv, env={**os.environ, **ours, **SURROUNDINGS[what]}, capture_output=True, timeout=60)
    assert done.returncode in (0, 1, 2)
    assert done.stdout + done.stderr
    assert b"Traceback" not in done.stdout + done.stderr


def test_a_reader_that_stops_early_causes_no_traceback(tmp_path: Path) -> None:
    ours = {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native"}
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "shopctl", "status", "--json"]
    done = subprocess.run(argv, env={**os.environ, **ours}, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert b"Traceback" not in done.stderr

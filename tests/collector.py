"""A collector for tests: it takes spans by OTLP over HTTP, and returns those of a trace."""

import contextlib
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

__all__ = ["Collector", "Span"]


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace_id: str
    id: str
    parent_id: str
    attributes: dict[str, Any]
    failed: bool
    links: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.service}: {self.name}"


class Collector(ThreadingHTTPServer):
    """Keeps each body that it got, compressed: a session of tests sends some 100 MB.

    While `fault` is a status, it refuses all bodies with it. While it is "silent", it takes none and does not answer.
    """

    daemon_threads = True
    request_queue_size = 128  # with 5, services that connect while the tests pause would lose their spans

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._bodies: list[bytes] = []
        self.fault: int | Literal["silent"] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def received(self) -> int:
        """The number of bodies so far; give it to `spans` to get only later ones."""
        return len(self._bodies)

    def take(self, body: bytes) -> None:
        self._bodies.append(zlib.compress(body, 1))

    def texts(self) -> Iterator[str]:
        """Yields each body, as JSON."""
        return (zlib.decompress(body).decode() for body in self._bodies)

    def spans(self, since: int = 0) -> list[Span]:
        bodies = [json.loads(zlib.decompress(body)) for body in self._bodies[since:]]
        return [
            _span(service["value"]["stringValue"], span)
            for body in bodies
            for resource in body["resourceSpans"]
            for service in resource["resource"]["attributes"]
            if service["key"] == "service.name"
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def wait(self, since: int, done: Callable[[list[Span]], bool], seconds: float = 20) -> list[Span]:
        """Returns the spans since then, once they are `done`. Services send theirs after half a second."""
        end = time.monotonic() + seconds
        while not done(found := self.spans(since)):
            assert time.monotonic() < end, sorted(span.label for span in found)
            time.sleep(0.1)
        return found


def _span(service: str, span: dict[str, Any]) -> Span:
    return Span(
        service,
        span["name"],
        span["traceId"],
        span["spanId"],
        span["parentSpanId"],
        {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]},
        bool(span["status"]),
        tuple(link["traceId"] for link in span["links"]),
    )


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        while self.server.fault == "silent":
            time.sleep(0.1)
        body, fault = self.rfile.read(int(self.headers["Content-Length"])), self.server.fault
        if fault is None:
            self.server.take(body)
        with contextlib.suppress(OSError):  # the service may have given up
            self.send_response(200 if fault is None else int(fault))
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

"""Whether the edge limits requests is found out before a large run."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from shopctl.load.limits import limits


@contextmanager
def edge(most: int) -> Iterator[str]:
    """A server that answers 429 after `most` requests."""
    served = 0

    class Edge(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            nonlocal served
            served += 1
            self.send_response(200 if served <= most else 429)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Edge) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("most", "limited"), [(600, True), (10_000, False)])
def test_an_edge_that_refuses_many_requests_limits_them(most: int, limited: bool) -> None:
    with edge(most) as url:
        assert limits(url) is limited


def test_an_edge_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        limits("http://127.0.0.1:1")

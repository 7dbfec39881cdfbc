"""`up` and `start` end only when the edge reaches the service."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from chassis.local.processes import StartError
from shopctl import edge
from shopctl.services import Declaration

SERVICES = [
    Declaration("order", 8003, routes=("/api/orders", "/api/admin/orders")),
    Declaration("cart", 8002, routes=("/api/cart",)),
]


class Edge(ThreadingHTTPServer):
    """Answers a path with its statuses in turn and then repeats the last one; other paths get 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers: dict[str, list[int]] = {}

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server_address[1]


class Answers(BaseHTTPRequestHandler):
    server: Edge

    def do_GET(self) -> None:
        left = self.server.answers.get(self.path, [200])
        self.send_response(left.pop(0) if len(left) > 1 else left[0])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Edge]:
    with Edge() as server:
        thread = Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("other", [503, 504, 404], ids=["nobody", "an old address", "another service's address"])
def test_it_waits_while_something_else_answers(server: Edge, other: int) -> None:
    server.answers = {"/api/orders/openapi.json": [other, other, 401]}
    edge.wait_for(server.address, SERVICES)
    assert server.answers == {"/api/orders/openapi.json": [401]}


def test_a_service_that_is_not_reached_is_named(server: Edge) -> None:
    server.answers = {"/api/cart/openapi.json": [503]}
    with pytest.raises(StartError, match="The edge does not reach cart"):
        edge.wait_for(server.address, SERVICES, seconds=0.3)


def test_other_services_need_not_be_reachable(server: Edge) -> None:
    server.answers = {"/api/cart/openapi.json": [503]}
    edge.wait_for(server.address, [SERVICES[0]], seconds=0.3)


def test_an_edge_that_does_not_answer_is_an_error() -> None:
    with Edge() as server:
        address = server.address
    with pytest.raises(StartError, match="The edge does not reach order"):
        edge.wait_for(address, SERVICES, seconds=0.3)


def test_proxies_of_the_environment_are_not_used(server: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    edge.wait_for(server.address, SERVICES, seconds=0.3)

"""The contracts of tests/contracts/http.yaml, a server that gives an agreed answer, and the storefront's clients."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
import yaml
from aiohttp import web

from chassis.http import HttpClient, Response
from storefront.clients import CartClient, CatalogClient, IdentityClient, OrderClient, office

CONTRACTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "contracts" / "http.yaml").read_text())
STOREFRONT = {name: each for name, each in CONTRACTS.items() if each["from"] == "storefront"}


class Request(NamedTuple):
    """A request; `call` is its method and path, `headers` have names in lower case."""

    call: str
    headers: dict[str, str]
    body: bytes


def fits(name: str, value: Any) -> None:
    """Fails unless a value is as agreed."""
    jsonschema_rs.validate(CONTRACTS[name]["schema"], value)


@asynccontextmanager
async def serving(
    answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, list[Request]]]:
    """Runs a server that gives the same answer to every request: bytes, or JSON. Yields its URL and the requests."""
    asked: list[Request] = []

    async def handle(request: web.Request) -> web.Response:
        given = {name.lower(): value for name, value in request.headers.items()}
        asked.append(Request(f"{request.method} {request.path_qs}", given, await request.read()))
        if isinstance(answer, bytes):
            return web.Response(body=answer, status=status, headers=headers)
        return web.json_response(answer, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


class Recorded(HttpClient):
    """Keeps the last response, for its status and the members that a client does not read."""

    last: Response

    async def request(self, *arguments: Any, **named: Any) -> Response:
        self.last = await super().request(*arguments, **named)
        return self.last


class Clients:
    """All clients of the storefront, with one server for all services."""

    def __init__(self, http: Recorded) -> None:
        self.http = http
        desk = office(catalog=http, cart=http, order=http, payment=http, identity=http)
        own = [CatalogClient(http), CartClient(http), OrderClient(http, http), IdentityClient(http)]
        self._by_name = {type(each).__name__: each for each in [*own, *(getattr(desk, n) for n in desk.__slots__)]}

    async def make(self, contract: str, *arguments: Any, **named: Any) -> Any:
        """Makes the call of a contract, and returns what the client's method returns."""
        of, method = CONTRACTS[contract]["by"].split(".")
        made = getattr(self._by_name[of], method)(*arguments, **named)
        return await (first_event(made) if hasattr(made, "__aenter__") else made)


async def first_event(opening: Any) -> Any:
    """Returns the data of the first event of a stream."""
    read = b""
    async with opening as stream:
        assert stream.status == 200
        while b"\n\n" not in read:
            read += await anext(stream.chunks)
    fields = dict(line.split(": ", 1) for line in read.decode().partition("\n\n")[0].splitlines())
    data = msgspec.json.decode(fields["data"])
    assert (fields["id"], fields["event"]) == (str(data["seq"]), "status")
    return data

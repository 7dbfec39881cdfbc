"""Every failure is a problem+json, routes take their parts, and a worker has no routes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.app import create_app, parts
from chassis.bodies import MAX_BODY
from chassis.errors import Conflict, Unauthenticated, Unavailable
from chassis.schemas import Body, Text
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of, started
from chassis.waiting import deadline

router = APIRouter()


class Lamp(Body):
    name: Text
    watts: int


@router.post("/lamps", status_code=201)
async def add(lamp: Lamp) -> Lamp:
    return lamp


@router.get("/lamps/{name}")
async def find(name: Text, color: Text = "white") -> dict[str, str]:
    return {"name": name, "color": color}


@router.get("/raises/{what}")
async def fail(what: str) -> None:
    raise {
        "conflict": Conflict("lamp-taken", "The lamp is taken", "Choose another.", lamp="desk"),
        "unauthenticated": Unauthenticated("token-required", "A token is required", "Get one."),
        "unavailable": Unavailable("too-busy", "Too busy", "Try again.", retry_after=3),
        "database": asyncpg.ConnectionDoesNotExistError("connection was closed"),
        "bug": ZeroDivisionError("the stack trace says password=9d2f"),
    }[what]


@router.get("/deadline")
async def wait() -> bool:
    return deadline.get() is not None


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with started(app), client_of(app) as client:
        yield client


def lamps(role: str = "all", **more: Any) -> FastAPI:
    return create_app(ServiceSettings(role=role), "lamps", title="Lamps", routers=[router], **more)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with serve(lamps()) as client:
        yield client


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Checks the format, and returns status and slug."""
    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == response.status_code
    assert document["title"]
    assert isinstance(document["detail"], str)
    return response.status_code, document["type"].rpartition("/")[2]


async def test_a_domain_error_keeps_its_slug_and_its_members(client: httpx2.AsyncClient):
    response = await client.get("/raises/conflict")

    assert problem(response) == (409, "lamp-taken")
    assert response.json()["lamp"] == "desk"


async def test_an_unauthenticated_client_is_told_how_to_authenticate(client: httpx2.AsyncClient):
    response = await client.get("/raises/unauthenticated")

    assert problem(response) == (401, "token-required")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_unavailable_says_when_to_try_again(client: httpx2.AsyncClient):
    response = await client.get("/raises/unavailable")

    assert problem(response) == (503, "too-busy")
    assert response.headers["retry-after"] == "3"


async def test_a_lost_database_is_a_503_with_retry_after(client: httpx2.AsyncClient):
    response = await client.get("/raises/database")

    assert problem(response) == (503, "database-unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_bug_is_a_500_without_details(client: httpx2.AsyncClient):
    response = await client.get("/raises/bug")

    assert problem(response) == (500, "internal-error")
    assert "9d2f" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/chairs", (404, "not-found")),
        ("GET", "/lamps/", (404, "not-found")),
        ("DELETE", "/lamps", (405, "method-not-allowed")),
    ],
)
async def test_errors_of_the_framework_have_the_same_format(
    client: httpx2.AsyncClient, method: str, path: str, answer: tuple[int, str]
):
    assert problem(await client.request(method, path)) == answer


async def test_a_method_that_is_not_allowed_comes_with_those_that_are(client: httpx2.AsyncClient):
    assert (await client.delete("/lamps")).headers["allow"] == "POST"


async def post(client: httpx2.AsyncClient, body: bytes) -> httpx2.Response:
    return await client.post("/lamps", content=body, headers={"content-type": "application/json"})


async def test_a_body_is_stripped_and_accepted(client: httpx2.AsyncClient):
    assert (await post(client, b'{"name": " desk ", "watts": 7}')).json() == {"name": "desk", "watts": 7}


async def test_an_invalid_body_names_the_fields_and_not_what_was_in_them(client: httpx2.AsyncClient):
    response = await post(client, b'{"name": "desk", "watts": "9d2f"}')

    assert problem(response) == (422, "invalid-request")
    assert [error["field"] for error in response.json()["errors"]] == ["body.watts"]
    assert "9d2f" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "desk", "watts": 7, "price": 0}',
        b'{"name": "a\\u0000b", "watts": 7}',
        b'{"name": "\\ud800", "watts": 7}',
        b'{"name": "desk", "watts": 7, "\\ud800": 1}',
        b'{"name": "\xff", "watts": 7}',
        b'{"name": "desk", "watts": NaN}',
        b'{"name": "desk", "watts": 1e999}',
        b'{"name": "desk", "watts": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b', "watts": 7}',
        b"{",
        b"",
        b"null",
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_body_of_the_wrong_kind_is_a_client_error(client: httpx2.AsyncClient, body: bytes):
    status, _ = problem(await post(client, body))

    assert status in (400, 422)


@pytest.mark.parametrize("path", ["/lamps/a%00b", "/lamps/desk?color=%00", "/lamps/%01"])
async def test_text_that_no_database_can_store_is_refused_in_addresses_too(client: httpx2.AsyncClient, path: str):
    assert problem(await client.get(path)) == (422, "invalid-request")


@pytest.mark.parametrize("type", ["text/plain", "application/x-www-form-urlencoded", "json", None])
async def test_a_body_without_the_media_type_of_json_is_415(client: httpx2.AsyncClient, type: str | None):
    headers = {"content-type": type} if type else {}
    response = await client.post("/lamps", content=b'{"name": "desk", "watts": 7}', headers=headers)

    assert problem(response) == (415, "unsupported-media-type")
    assert "application/json" in response.json()["detail"]


async def test_a_body_over_the_limit_is_refused(client: httpx2.AsyncClient):
    body = json.dumps({"name": "x" * MAX_BODY, "watts": 7}).encode()

    assert problem(await post(client, body)) == (413, "body-too-large")


async def test_a_body_over_the_limit_is_refused_without_a_content_length(client: httpx2.AsyncClient):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 8192

    response = await client.post("/lamps", content=chunks(), headers={"content-type": "application/json"})

    assert problem(response) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("sent", "known"), [("500", True), ("9" * 30, True), ("", False), ("-1", False), ("soon", False), ("²", False)]
)
async def test_the_clients_deadline_is_recorded(client: httpx2.AsyncClient, sent: str, known: bool):
    response = await client.get("/deadline", headers={"X-Request-Timeout-Ms": sent.encode("latin-1")})

    assert response.json() is known


async def test_a_deadline_belongs_to_one_request(client: httpx2.AsyncClient):
    """On a persistent connection, a server may handle a request in the context of the previous one."""
    deadline.set(12.5)

    assert (await client.get("/deadline")).json() is False


@dataclass(frozen=True, slots=True)
class Parts:
    colors: list[str]


given = parts(Parts)


async def test_routes_take_the_parts_that_the_application_was_given():
    lamps = APIRouter()

    @lamps.get("/colors")
    async def colors(given: Annotated[Parts, Depends(given)]) -> list[str]:
        return given.colors

    app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[lamps], parts=Parts(["white", "red"]))
    async with serve(app) as client:
        assert (await client.get("/colors")).json() == ["white", "red"]


async def test_parts_of_another_kind_are_a_bug_that_says_what_is_missing():
    lamps = APIRouter()

    @lamps.get("/colors", dependencies=[Depends(given)])
    async def colors() -> None:
        pass

    for wrong in (None, ["white"]):
        app = create_app(ServiceSettings(), "lamps", title="Lamps", routers=[lamps], parts=wrong)
        async with serve(app) as client:
            assert problem(await client.get("/colors")) == (500, "internal-error")


class Watcher:
    """Middleware that notes each request's method and each response's status."""

    def __init__(self, app: ASGIApp, name: str, diary: list[str]) -> None:
        self.app, self.name, self.diary = app, name, diary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.diary.append(f"{self.name} {message['status']}")
            await send(message)

        self.diary.append(f"{self.name} {scope['method']}")
        await self.app(scope, receive, noted)


@pytest.mark.parametrize(
    ("method", "path", "seen", "status"),
    [
        ("GET", "/lamps/desk", "GET", 200),
        ("HEAD", "/lamps/desk", "GET", 200),
        ("GET", "/chairs", "GET", 404),
        ("GET", "/raises/conflict", "GET", 409),
        ("GET", "/raises/bug", "GET", 500),
        ("POST", "/lamps", "POST", 413),
    ],
)
async def test_middleware_sees_every_response_and_the_first_one_is_the_outermost(
    method: str, path: str, seen: str, status: int
):
    diary: list[str] = []
    app = lamps(middleware=[Middleware(Watcher, "outer", diary), Middleware(Watcher, "inner", diary)])
    body = b"x" * (MAX_BODY + 1) if status == 413 else None
    async with serve(app) as client:
        answer = await client.request(method, path, content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.content == b"") == (status, method == "HEAD")
    assert diary == [f"outer {seen}", f"inner {seen}", f"inner {status}", f"outer {status}"]


class Resource:
    """Records when it is entered and left."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name, self.diary = name, diary

    async def __aenter__(self) -> None:
        self.diary.append(f"+{self.name}")

    async def __aexit__(self, *_: object) -> None:
        self.diary.append(f"-{self.name}")


@pytest.mark.parametrize(
    ("role", "diary"),
    [("all", "+db +broker +jobs -jobs -broker -db"), ("worker", "+db +broker +jobs -jobs -broker -db"),
     ("api", "+db +broker -broker -db")],
)  # fmt: skip
async def test_resources_are_left_in_reverse_and_an_api_has_no_workers(role: str, diary: str):
    seen: list[str] = []
    resources = [Resource("db", seen), Resource("broker", seen)]

    async with serve(lamps(role, resources=resources, workers=[Resource("jobs", seen)])):
        pass

    assert " ".join(seen) == diary


async def test_a_worker_has_health_and_metrics_and_no_routes():
    async with serve(lamps("worker")) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/lamps/desk")).status_code == 404


async def test_the_openapi_document_promises_a_problem_and_hides_health(client: httpx2.AsyncClient):
    document = (await client.get("/api/lamps/openapi.json")).json()

    assert set(document["paths"]) == {"/lamps", "/lamps/{name}", "/raises/{what}", "/deadline"}
    responses = document["paths"]["/lamps"]["post"]["responses"]
    assert set(responses) == {"201", "default"}
    assert responses["default"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert "ValidationError" not in document["components"]["schemas"]

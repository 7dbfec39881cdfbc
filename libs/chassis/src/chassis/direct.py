"""Calls the busiest routes without the framework, which would take longer than they do.

FastAPI finds a route, reads what its function takes, and calls it within four exit stacks: 60 µs of CPU time for a
function that takes nothing, and 160 µs for one with a path, a header and a body. A direct route takes the request, and
reads the rest itself. Otherwise it is a route like all others: declared on a router, described in the OpenAPI document,
inside the same middleware, its errors answered by the same handlers. `test_direct.py` compares both ways.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.failures import HANDLERS
from chassis.queries import Query, once
from chassis.schemas import Body, located, parsed

__all__ = ["Direct", "Function", "body_of", "path_parameter", "query_of"]

Function = Callable[[Request], Awaitable[Response]]
B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)

JSON = re.compile(r"application/(?:[^;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class Direct:
    """Pure ASGI middleware, the innermost: calls the routes of these functions itself, and passes on other requests.

    Direct routes come before all others, so none of the others may have an address that a direct one matches.
    """

    def __init__(self, app: ASGIApp, routers: Sequence[APIRouter], functions: Collection[Function]) -> None:
        self.app = app
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._routes = [route for route in routes if route.endpoint in functions]
        for route in self._routes:
            if route.dependant.dependencies:
                raise TypeError(f"{route.name} has dependencies, which a direct route would skip")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                response = await self._answer(route.endpoint, Request(scope, receive, send))
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    @staticmethod
    async def _answer(function: Function, request: Request) -> Response:
        try:
            return await function(request)
        except Exception as error:
            for kind, handler in HANDLERS.items():
                if isinstance(error, kind):
                    return await handler(request, error)
            raise


async def body_of(request: Request, model: type[B]) -> B:
    """Reads the body. Raises RequestValidationError: 422, or 415 if its Content-Type is not JSON's."""
    raw = await request.body()
    if raw and not JSON.fullmatch(request.headers.get("content-type", "")):
        raise RequestValidationError([], body=raw)
    return parsed(model, raw)


def query_of(request: Request, model: type[Q], *lists: str) -> Q:
    """Reads the query, in which only parameters in `lists` may occur twice. Raises RequestValidationError (422)."""
    once(request, *lists)
    given = request.query_params
    try:
        return model.model_validate({name: given.getlist(name) if name in lists else given[name] for name in given})
    except ValidationError as error:
        raise RequestValidationError(located(error, "query")) from None


def path_parameter(request: Request, name: str, pattern: re.Pattern[str]) -> str:
    """Returns a part of the path. Raises RequestValidationError (422) if it does not match `pattern`."""
    value: str = request.path_params[name]
    if not pattern.fullmatch(value):
        found: dict[str, Any] = {"loc": ("path", name), "msg": f"String should match pattern '{pattern.pattern}'"}
        raise RequestValidationError([found])
    return value

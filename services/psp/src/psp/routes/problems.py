"""Every error as problem+json (RFC 9457)."""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from psp.models import Refusal
from psp.schemas import Problem

MAX_BODY = 64 * 1024
TYPE_BASE = "https://psp.example/problems/"

PROBLEMS = {
    "malformed-json": (400, "The body is not JSON"),
    "duplicate-member": (400, "The body has a duplicate member"),
    "idempotency-key-required": (400, "An idempotency key is required"),
    "not-found": (404, "No such address"),
    "charge-not-found": (404, "No such charge"),
    "order-not-found": (404, "No such order"),
    "method-not-allowed": (405, "This address does not allow the method"),
    "refund-exceeds-capture": (409, "The refund exceeds the captured amount"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body's media type is not supported"),
    "key-reused": (422, "The idempotency key was used for another request"),
    "invalid-request": (422, "The request is not valid"),
    "provider-error": (500, "The provider failed"),
}
HTTP_ERRORS = {
    400: ("malformed-json", "Send one JSON document, in UTF-8."),
    404: ("not-found", "See /openapi.json for what is served."),
    405: ("method-not-allowed", "See /openapi.json for what is served."),
    413: ("body-too-large", f"Send at most {MAX_BODY} bytes."),
}
SERVER_ERROR = ("provider-error", "The result is unknown; ask again with the same idempotency key.")


def problem(
    slug: str, detail: str, errors: list[dict[str, str]] | None = None, headers: dict[str, str] | None = None
) -> Response:
    status, title = PROBLEMS[slug]
    body = Problem(type=TYPE_BASE + slug, title=title, status=status, detail=detail, errors=errors or [])
    return Response(body.model_dump_json(exclude_defaults=True), status, headers, media_type="application/problem+json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns, for OpenAPI, the errors of a route in addition to the common ones."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in (*statuses, 413, 415, 422, 500)}


def install(app: FastAPI) -> None:
    """Adds the error answers to the app. `Wire` answers unexpected errors."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


def once(request: Request) -> None:
    """Refuses a duplicate parameter, of which the framework would take the last value. Raises 422."""
    given = [name for name, _ in request.query_params.multi_items()]
    if twice := sorted({name for name in given if given.count(name) > 1}):
        raise RequestValidationError(
            [{"type": "duplicate", "loc": ("query", name), "msg": "must be given once"} for name in twice]
        )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(error.slug, error.detail)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # unread, because its content type is not JSON
        return problem("unsupported-media-type", "Send JSON, with Content-Type: application/json.")
    failures: list[dict[str, Any]] = list(error.errors())
    if any(failure["type"] == "json_invalid" for failure in failures):
        return problem(*HTTP_ERRORS[400])
    if any(failure["loc"][:2] == ("header", "Idempotency-Key") for failure in failures):
        return problem(
            "idempotency-key-required", "Send an Idempotency-Key header of 1 to 255 visible ASCII characters."
        )
    errors = [{"field": _field(f["loc"]), "message": f["msg"]} for f in failures]
    return problem("invalid-request", "Correct the fields listed in errors.", errors)


def _field(location: tuple[str | int, ...]) -> str:
    """Joins the parts of a location. A field name may hold lone surrogates, which JSON cannot carry."""
    return ".".join(str(part) for part in location).encode(errors="replace").decode()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Refusal):  # raised while the framework read the body
        return problem(error.__cause__.slug, error.__cause__.detail)
    slug, detail = HTTP_ERRORS.get(error.status_code, SERVER_ERROR)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(slug, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Returns the methods of this address. The framework names only those of one of its routes."""

    def served(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return (["GET", "HEAD"] if served("GET") else []) + (["POST"] if served("POST") else [])

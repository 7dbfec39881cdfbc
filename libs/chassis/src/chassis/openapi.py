"""A service's OpenAPI document: the routes as the framework describes them, with problem+json as the error format.

The framework's own document promises a 422 in a format that we never send. `test_app.py` shows the document.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from chassis.queries import Query
from chassis.schemas import Body

__all__ = ["document", "documented", "query_parameters"]

PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Ends in the problem's slug"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do"},
    },
}


def document(app: FastAPI) -> dict[str, Any]:
    """Returns the document, with problem+json as the default response of every operation."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        problem = {
            "description": "A problem (RFC 9457)",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema


def documented(model: type[Body]) -> dict[str, Any]:
    """Returns the `openapi_extra` of a route that reads its body with `parsed`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(model)}}}}


def query_parameters(model: type[Query]) -> list[dict[str, Any]]:
    """Returns the `parameters` for the `openapi_extra` of a route that reads its query with `query_of`."""
    fields = inlined(model)["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields.items()]


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schema of a model without references, for embedding in a larger document."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved

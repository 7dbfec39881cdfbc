"""A page for the HTTP API of each service, and its OpenAPI document, both from the application itself."""

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from outside import ROOT
from tables import kind, of_schema, resolved, table

from shopctl import services

VALUES = {
    "environment": "development",
    "database_url": "postgresql://host/database",
    "broker_url": "amqp://host/vhost",
    "valkey_url": "redis://host/0",
    "jwks_url": "http://host/.well-known/jwks.json",
    "psp_database": ":memory:",
}
"""Settings with which an application can be created; it connects to nothing. All others are addresses."""


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields a page and a document for each service with an API. The storefront has pages instead."""
    for service in services.load(ROOT):
        if "/" in service.routes:
            continue
        found = document(service.name)
        path = f"reference/api/{service.name}"
        yield File.generated(config, f"{path}.json", content=json.dumps(found, indent=2))
        yield File.generated(config, f"{path}.md", content=page(service.name, found))


def document(service: str) -> dict[str, Any]:
    """Returns the OpenAPI document of a service."""
    model = import_module(f"{service}.settings").Settings
    needed = {name for name, field in model.model_fields.items() if field.is_required()} | {"environment"}
    settings = model(**{name: VALUES.get(name, "http://host/any-address") for name in needed})
    found: dict[str, Any] = import_module(f"{service}.main").create(settings).openapi()
    return found


def page(service: str, found: dict[str, Any]) -> str:
    """Returns the page of an OpenAPI document: each call with its parameters, body and responses."""
    schemas = found.get("components", {}).get("schemas", {})
    parts = [
        f"# API of {service}",
        f"{found['info']['title']}. This page is made from the service's [OpenAPI document]({service}.json).",
    ]
    for path, calls in found["paths"].items():
        for method, call in calls.items():
            parts += [f"## `{method.upper()} {path}`", *_call(call, schemas)]
    return "\n\n".join(parts) + "\n"


def _call(call: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"{call.get('summary', '')}."
    yield call.get("description", "")
    if parameters := call.get("parameters"):
        rows = [
            (
                f"`{each['name']}`",
                each["in"],
                ("" if each.get("required") else "optional; ") + kind(each["schema"], schemas),
                each.get("description") or resolved(each["schema"], schemas).get("description", ""),
            )
            for each in parameters
        ]
        yield table(["parameter", "in", "type", "meaning"], rows)
    for media, content in call.get("requestBody", {}).get("content", {}).items():
        yield f"**Body** (`{media}`)"
        yield of_schema(content.get("schema", {}), schemas)
    for status, response in call["responses"].items():
        if status == "default":
            continue  # a problem, in every call
        yield f"**{status}** {response.get('description', '')}"
        for content in response.get("content", {}).values():
            yield of_schema(content.get("schema", {}), schemas)

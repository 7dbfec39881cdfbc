"""The page of all messages, and the AsyncAPI 3.0 document, both made from the services' `messages.py`.

A channel is the queue of a service. The services' pyproject.toml say who sends and who receives. The examples are those
of the contracts which the sender can send; a consumer accepts the others too, from an older version.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import msgspec
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from outside import ROOT
from tables import of_schema

from chassis.messages import Message
from chassis.messaging.envelope import CONTENT_TYPE, MAX_EVENTS, Envelope
from shopctl import services

SERVICES = services.load(ROOT)
REFERENCE = "#/components/schemas/{name}"
EXAMPLE = {
    "id": "0198a4e0-0000-7000-8000-00000000000a",
    "time": "2026-11-01T12:00:00Z",
    "specversion": "1.0",
}
DESCRIPTION = """\
Commands and events between the services of Quayside. What the broker gets is a CloudEvents 1.0 batch. Its routing key
is the name of the message, and the exchange `SERVICE.in` passes it on to the queue of that service. A message is
delivered at least once."""


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields the document and the page."""
    found = document()
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120)
    yield File.generated(config, "reference/asyncapi.yaml", content=text)
    yield File.generated(config, "reference/messages.md", content=page(found))


def document() -> dict[str, Any]:
    """Returns the AsyncAPI document."""
    examples = yaml.safe_load((ROOT / "tests/contracts/messages.yaml").read_text())
    published = {each.type: each for name in SERVICES.outboxes for each in import_module(f"{name}.messages").PUBLISHED}
    references, schemas = msgspec.json.schema_components([Envelope, *published.values()], ref_template=REFERENCE)
    data = dict(zip(published, references[1:], strict=True))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Messages of Quayside", "version": "1", "description": DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "servers": {"rabbitmq": {"host": "rabbitmq:5672", "pathname": "/quayside", "protocol": "amqp"}},
        "channels": {name: _channel(name) for name in SERVICES.consumers},
        "operations": {each["name"]: each["operation"] for each in _operations()},
        "components": {
            "messages": {type: _message(found, data[type], examples[type]) for type, found in published.items()},
            "schemas": schemas,
        },
    }


def _channel(service: str) -> dict[str, Any]:
    return {
        "address": service,
        "description": f"The queue of {service}.",
        "messages": {type: {"$ref": f"#/components/messages/{type}"} for type in SERVICES[service].consumes},
        "bindings": {"amqp": {"is": "queue", "queue": {"name": service, "durable": True}}},
    }


def _operations() -> Iterator[dict[str, Any]]:
    """Yields what each service sends to each queue, and what it receives from its own."""
    for service in SERVICES:
        for consumer in SERVICES.consumers:
            if sent := [type for type in service.publishes if type in SERVICES[consumer].consumes]:
                yield {"name": f"{service.name}-sends-to-{consumer}", "operation": _operation("send", consumer, sent)}
        if service.consumes:
            operation = _operation("receive", service.name, service.consumes)
            yield {"name": f"{service.name}-receives", "operation": operation}


def _operation(action: str, channel: str, types: list[str] | tuple[str, ...]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{type}"} for type in types],
    }


def _message(found: type[Message], data: dict[str, Any], contract: dict[str, Any]) -> dict[str, Any]:
    event = {
        "allOf": [
            {"$ref": REFERENCE.format(name=Envelope.__name__)},
            {"type": "object", "properties": {"type": {"const": found.type}, "data": data}},
        ]
    }
    sender = next(service.name for service in SERVICES if found.type in service.publishes)
    return {
        "name": found.type,
        "contentType": CONTENT_TYPE,
        "payload": {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": event},
        "examples": [
            {"payload": [{**EXAMPLE, "source": sender, "type": found.type, "subject": each["order_id"], "data": each}]}
            for each in contract["examples"]
            if _can_be_sent(found, each)
        ],
    }


def _can_be_sent(found: type[Message], data: dict[str, Any]) -> bool:
    try:
        msgspec.convert(data, found)
    except msgspec.ValidationError:
        return False
    return True


def page(found: dict[str, Any]) -> str:
    """Returns the page of an AsyncAPI document."""
    schemas = found["components"]["schemas"]
    parts = [
        "# Messages",
        f"{DESCRIPTION}\n\nThis page is made from the code, as is the [AsyncAPI document](asyncapi.yaml).",
        "## The envelope",
        of_schema(schemas[Envelope.__name__], schemas),
    ]
    for type, message in found["components"]["messages"].items():
        data = message["payload"]["items"]["allOf"][1]["properties"]["data"]
        example = yaml.safe_dump(message["examples"][0]["payload"], sort_keys=False)
        sender = next(service.name for service in SERVICES if type in service.publishes)
        parts += [
            f"## `{type}`",
            schemas[data["$ref"].rpartition("/")[2]].get("description", ""),
            f"Sent by {sender}; received by {', '.join(SERVICES.consumers_of(type))}. Its `data`:",
            of_schema(data, schemas),
            f"An example, as YAML:\n\n```yaml\n{example}```",
        ]
    return "\n\n".join(parts) + "\n"

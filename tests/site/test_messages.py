"""The AsyncAPI document is valid, and has every message of the contracts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / ".run/site/reference/asyncapi.yaml").read_text())
CONTRACTS: dict[str, Any] = yaml.safe_load((ROOT / "tests/contracts/messages.yaml").read_text())
CONTRACTS.pop("$defs")
MESSAGES = DOCUMENT["components"]["messages"]


def target(reference: str) -> Any:
    """Returns what a reference leads to. Raises KeyError."""
    found: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for below in node.values():
            yield from references(below)
    elif isinstance(node, list):
        for below in node:
            yield from references(below)


def test_the_document_has_the_parts_that_version_3_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert {*DOCUMENT} <= {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"}
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for channel in DOCUMENT["channels"].values():
        assert {*channel} <= {"address", "description", "messages", "bindings"}
    for message in MESSAGES.values():
        assert {*message} <= {"name", "contentType", "payload", "examples"}


def test_every_reference_leads_somewhere() -> None:
    assert [target(reference) for reference in references(DOCUMENT)]


def test_an_operation_names_a_channel_and_only_its_messages() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert {*operation} == {"action", "channel", "messages"}, name
        assert operation["action"] in ("send", "receive"), name
        channel = operation["channel"]["$ref"]
        assert operation["messages"], name
        assert all(each["$ref"].startswith(f"{channel}/messages/") for each in operation["messages"]), name


@pytest.mark.parametrize("action", ["send", "receive"])
def test_every_message_of_the_contracts_has_a_channel_and_is_sent_and_received(action: str) -> None:
    in_channels = {type for channel in DOCUMENT["channels"].values() for type in channel["messages"]}
    operations = [each for each in DOCUMENT["operations"].values() if each["action"] == action]
    in_operations = {each["$ref"].rpartition("/")[2] for operation in operations for each in operation["messages"]}
    assert in_channels == in_operations == {*MESSAGES} == {*CONTRACTS}


@pytest.mark.parametrize("type", MESSAGES)
def test_the_examples_fit_the_schemas(type: str) -> None:
    message = MESSAGES[type]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    assert message["examples"]
    for each in message["examples"]:
        jsonschema_rs.validate(schema, each["payload"])
        assert each["payload"][0]["data"] in CONTRACTS[type]["examples"]
        wrong = [{**each["payload"][0], "data": {}}]
        assert not jsonschema_rs.is_valid(schema, wrong)

"""Checks each message against its contract: published messages fit it, and consumers accept all that fits it."""

import importlib
import json
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chassis.messages import Message
from shopctl import services

CONTRACTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "messages.yaml").read_text())
CONTRACTS.pop("$defs")
SERVICES = services.load(Path(__file__).parents[2])
SENT = {type: each.name for each in SERVICES for type in each.publishes}
TAKEN = [(type, each.name) for each in SERVICES for type in each.consumes]


def messages_of(service: str) -> ModuleType:
    return importlib.import_module(f"{service}.messages")


def message(service: str, type: str) -> type[Message]:
    """Returns a service's class for a message type."""
    classes = [c for c in vars(messages_of(service)).values() if getattr(c, "type", None) == type]
    assert len(classes) == 1, f"{service} should have one class for {type}"
    found: typing.type[Message] = classes[0]
    return found


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Returns a strategy for the values of a message's field."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return st.builds(hint, **{f.name: values(f.type) for f in msgspec.structs.fields(hint)})
    if typing.get_origin(hint) in (list, tuple):
        items = st.lists(values(typing.get_args(hint)[0]), max_size=3)
        return items if typing.get_origin(hint) is list else items.map(tuple)
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    return st.text(max_size=20) if hint is str else st.from_type(hint)


@pytest.mark.parametrize("type", CONTRACTS)
@given(data=st.data())
def test_published_messages_fit_the_schema(type: str, data: st.DataObject) -> None:
    contract = CONTRACTS[type]
    sent = data.draw(values(message(SENT[type], type)))
    jsonschema_rs.validate(contract["schema"], json.loads(msgspec.json.encode(sent)))


@pytest.mark.parametrize(("type", "consumer"), TAKEN)
def test_consumers_accept_what_fits_the_schema(type: str, consumer: str) -> None:
    contract = CONTRACTS[type]
    for example in contract["examples"]:
        jsonschema_rs.validate(contract["schema"], example)
        newer = {**example, "added_later": {"by": "a newer version"}}
        taken = msgspec.json.decode(msgspec.json.encode(newer), type=message(consumer, type))
        used = json.loads(msgspec.json.encode(taken))
        assert {name: used[name] for name in used if name in example} == {n: example[n] for n in used if n in example}
        assert used


def test_every_message_has_a_contract() -> None:
    assert set(CONTRACTS) == set(SENT)

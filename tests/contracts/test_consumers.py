"""Each service handles exactly the messages that it declares to consume: any other one would become a dead letter."""

import importlib
import inspect
from pathlib import Path

import pytest

from shopctl import services

SERVICES = services.load(Path(__file__).parents[2])


@pytest.mark.parametrize("service", SERVICES.consumers)
def test_each_consumed_message_has_a_handler(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"{service}.consumers")
    monkeypatch.setattr(module, "Consumer", lambda url, queue, handlers, **_: handlers)
    nothing = [None for _ in inspect.signature(module.consumer).parameters]

    assert {message.type for message, _ in module.consumer(*nothing)} == set(SERVICES[service].consumes)

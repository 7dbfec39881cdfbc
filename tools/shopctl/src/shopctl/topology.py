"""Who gets which message, from the broker's own definitions."""

import json
from pathlib import Path

from chassis.messaging.ladder import STEPS
from shopctl.place import CONSUMERS

__all__ = ["RETRIES", "bindings", "consumers"]

RETRIES = tuple(f"{name}.{step}" for name in CONSUMERS for step in STEPS)


def bindings(root: Path) -> dict[str, set[str]]:
    """Consuming service → routing keys. `root` is the clone."""
    definitions = json.loads((root / "deploy" / "rabbitmq" / "definitions.json.template").read_text())
    keys: dict[str, set[str]] = {name: set() for name in CONSUMERS}
    for binding in definitions["bindings"]:
        if binding["source"] == f"{binding['destination']}.in":
            keys[binding["destination"]].add(binding["routing_key"])
    return keys


def consumers(root: Path) -> dict[str, list[str]]:
    """Routing key → consuming services."""
    found: dict[str, list[str]] = {}
    for name, keys in bindings(root).items():
        for key in keys:
            found.setdefault(key, []).append(name)
    return found

"""RabbitMQ's definitions: the virtual host, users with narrow rights, exchanges, queues, bindings, policies.

A service that consumes has an exchange `<name>.in` for its messages, an exchange `<name>.failed` for those that it
could not handle, and queues for both. A service may publish its own message types to their consumers, and its failures
to its own retry queues; it may read its own queue. It may not declare, bind or delete anything.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chassis.messaging.ladder import STEPS
from shopctl.services import Declaration, Services

__all__ = ["password_hash", "render", "template"]

VHOST = "quayside"
MILLISECONDS = {"s": 1000, "m": 60_000}
LIMITS = {"max-length": 100_000, "overflow": "reject-publish", "dead-letter-strategy": "at-least-once"}


def template(services: Services) -> str:
    """The definitions as JSON text with a placeholder `${<USER>_PASSWORD_HASH}` for each user."""
    consuming = [each for each in services if each.consumes]
    connecting = [each for each in services if each.name in services.broker_users]
    parts: dict[str, Iterable[dict[str, Any]]] = {
        "vhosts": [{"name": VHOST}],
        "users": map(_user, services.broker_users),
        "permissions": [*(_permission(each, services) for each in connecting), _right("operator", ".*", ".*")],
        "topic_permissions": (right for each in connecting for right in _topic_permissions(each, services)),
        "exchanges": (_exchange(f"{each.name}.{way}") for each in consuming for way in ("in", "failed")),
        "queues": (queue for each in consuming for queue in _queues(each.name)),
        "bindings": (binding for each in consuming for binding in _bindings(each)),
        "policies": _policies(services),
    }
    lines = (
        f"  {json.dumps(part)}: [\n" + ",\n".join(f"    {json.dumps(each)}" for each in items) + "\n  ]"
        for part, items in parts.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def render(template: str, passwords: Mapping[str, str]) -> str:
    """Fill in the hash of each user's password. Raises KeyError if a user of the template has none."""
    hashes = {f"{user.upper()}_PASSWORD_HASH": password_hash(given) for user, given in passwords.items()}
    return re.sub(r"\$\{(\w+)\}", lambda found: hashes[found[1]], template)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """RabbitMQ's `rabbit_password_hashing_sha256`: base64 of a 4-byte salt and SHA-256(salt + password).

    Source: https://www.rabbitmq.com/docs/passwords
    """
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _user(name: str) -> dict[str, Any]:
    placeholder = f"${{{name.upper()}_PASSWORD_HASH}}"
    algorithm = "rabbit_password_hashing_sha256"
    return {"name": name, "password_hash": placeholder, "hashing_algorithm": algorithm, "tags": []}


def _permission(each: Declaration, services: Services) -> dict[str, Any]:
    """A service writes to its consumers' exchanges and to its own for failures, and reads its own queue.

    It may count its dead letters: RabbitMQ 4.3 requires any permission for that. Writing to a queue has no other
    effect: messages reach it through exchanges, and a binding also requires reading the exchange.
    """
    own = [f"{each.name}.failed", f"{each.name}.dead"] if each.consumes else []
    return _right(
        each.name,
        _any_of([f"{taker}.in" for taker in _sent(each, services)] + own),
        _any_of([each.name] if each.consumes else []),
    )


def _right(user: str, write: str, read: str) -> dict[str, Any]:
    return {"user": user, "vhost": VHOST, "configure": "^$", "write": write, "read": read}


def _topic_permissions(each: Declaration, services: Services) -> Iterator[dict[str, Any]]:
    """The routing keys that a service may use at each exchange that it may write to."""
    keys = {f"{taker}.in": types for taker, types in _sent(each, services).items()}
    if each.consumes:
        keys[f"{each.name}.failed"] = [*STEPS, "dead"]
    for exchange, allowed in keys.items():
        yield {"user": each.name, "vhost": VHOST, "exchange": exchange, "write": _any_of(allowed), "read": "^$"}


def _sent(each: Declaration, services: Services) -> dict[str, list[str]]:
    """The message types that this service sends, by consumer."""
    sent: dict[str, list[str]] = {}
    for type in each.publishes:
        for taker in services.consumers_of(type):
            sent.setdefault(taker, []).append(type)
    return sent


def _any_of(names: list[str]) -> str:
    """A regular expression that matches these names and nothing else."""
    escaped = "|".join(map(re.escape, names))
    return f"^({escaped})$" if len(names) > 1 else f"^{escaped}$"


def _exchange(name: str) -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return {"name": name, "vhost": VHOST, "type": "topic", **flags}


def _queues(service: str) -> Iterator[dict[str, Any]]:
    """The queue of a service, its retry queues, which return messages to it, and its dead letters."""
    yield _queue(service, {"x-dead-letter-exchange": f"{service}.failed", "x-dead-letter-routing-key": "dead"})
    for step in STEPS:
        yield _queue(f"{service}.{step}", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": service})
    yield _queue(f"{service}.dead", {})


def _queue(name: str, arguments: dict[str, str]) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum", **arguments}
    return {"name": name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": arguments}


def _bindings(each: Declaration) -> Iterator[dict[str, Any]]:
    keys = [(f"{each.name}.in", each.name, type) for type in each.consumes]
    keys += [(f"{each.name}.failed", f"{each.name}.{step}", step) for step in (*STEPS, "dead")]
    for source, queue, key in keys:
        target = {"destination": queue, "destination_type": "queue", "routing_key": key, "arguments": {}}
        yield {"source": source, "vhost": VHOST, **target}


def _policies(services: Services) -> Iterator[dict[str, Any]]:
    yield _policy("inbox", _any_of([*services.consumers]), {"delivery-limit": 1000, **LIMITS})
    yield _policy("dead", "\\.dead$", {"delivery-limit": 1_000_000_000})
    for step in STEPS:
        delay = step.removeprefix("retry.")
        ttl = int(delay[:-1]) * MILLISECONDS[delay[-1]]
        yield _policy(step, re.escape(step) + "$", {"message-ttl": ttl, "dead-letter-exchange": "", **LIMITS})


def _policy(name: str, pattern: str, definition: dict[str, Any]) -> dict[str, Any]:
    common = {"apply-to": "queues", "priority": 0, "definition": definition}
    return {"name": name, "vhost": VHOST, "pattern": pattern, **common}

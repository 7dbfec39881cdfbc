"""The services as they describe themselves: `[tool.quayside]` in each `services/<name>/pyproject.toml`.

| key | meaning |
| --- | --- |
| `port` | the port on this machine when the service runs natively; in a container it is 8000 |
| `stores` | what it connects to: `postgres` (a database and a role of its own), `valkey`, `rabbitmq` |
| `routes` | the path prefixes that the edge passes on to it |
| `calls` | the services that it calls by HTTP; `identity` also for its public keys |
| `messages.publishes`, `messages.consumes` | message types: `<service>.<what>.v<N>`, in lower case, with hyphens |
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from chassis.local.processes import StartError

__all__ = ["RESERVED", "STORES", "Declaration", "Services", "load"]

Store = Literal["postgres", "valkey", "rabbitmq"]
STORES: tuple[Store, ...] = get_args(Store)

# Where there is no clone, as in shopctl's image, this file has all declarations. `make format` writes it.
COLLECTED = Path("deploy/services.json")

MESSAGE_TYPE = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9]*(-[a-z0-9]+)*\.v[1-9][0-9]*")

RESERVED = frozenset(
    {
        *("chassis", "shopctl"),  # our other packages
        *("edge", "databases", "postgres", "valkey", "rabbitmq", "epmd"),  # what else Compose or the native shop runs
        *("nginx", "prometheus", "alertmanager", "jaeger", "grafana"),  # the other jobs of Prometheus, and its users
        *("common", "infra", "shop", "secret", "stores", "seed", "audit", "smoke"),  # charts, their values and objects
        *("auditor", "exporter", "none", "public", "template0", "template1"),  # PostgreSQL's roles and databases
        *("operator", "guest", "amq"),  # RabbitMQ's users, and the prefix of its own exchanges
        *("broker", "database", "jwks"),  # BROKER_URL, DATABASE_URL and JWKS_URL are not addresses of services
        "docs",  # /api/docs is a page of storefront
        *("observability", "loadtest"),  # charts
    }
)
"""Names that a service cannot have, because something else has them."""


class Messages(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The types of the messages that a service publishes and consumes."""

    publishes: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The declaration of one service."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9]*$")]
    port: Annotated[int, Meta(ge=1024, le=65_535)]
    stores: tuple[Store, ...] = ()
    routes: tuple[Annotated[str, Meta(pattern="^/$|^(/[^/]+)+$")], ...] = ()
    calls: tuple[str, ...] = ()
    messages: Messages = Messages()

    @property
    def publishes(self) -> tuple[str, ...]:
        return self.messages.publishes

    @property
    def consumes(self) -> tuple[str, ...]:
        return self.messages.consumes

    @property
    def specification(self) -> str:
        """The path of its OpenAPI document at the edge, under its first route."""
        return f"{self.routes[0].rstrip('/')}/openapi.json"


@dataclass(frozen=True)
class Services:
    """All declarations by name, in the order of their ports, and the lists that follow from them."""

    by_name: Mapping[str, Declaration]

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self.by_name.values())

    def __getitem__(self, name: str) -> Declaration:
        return self.by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.by_name)

    @cached_property
    def databases(self) -> tuple[str, ...]:
        """Services with a database, and a role, of the same name."""
        return self._with_store("postgres")

    @cached_property
    def broker_users(self) -> tuple[str, ...]:
        """RabbitMQ's users: the services that connect to it, and the operator."""
        return (*self._with_store("rabbitmq"), "operator")

    @cached_property
    def valkey_users(self) -> tuple[str, ...]:
        """Valkey's users: the services that connect to it."""
        return self._with_store("valkey")

    @cached_property
    def consumers(self) -> tuple[str, ...]:
        """Services with a queue."""
        return tuple(each.name for each in self if each.consumes)

    @cached_property
    def outboxes(self) -> tuple[str, ...]:
        """Services that publish, from a table in their database."""
        return tuple(each.name for each in self if each.publishes)

    @cached_property
    def inboxes(self) -> tuple[str, ...]:
        """Services that remember in their database which messages they have handled."""
        return tuple(name for name in self.consumers if "postgres" in self[name].stores)

    @cached_property
    def audited(self) -> tuple[str, ...]:
        """Services whose database the audit reads, for its messages."""
        return tuple(name for name in self.names if name in self.outboxes or name in self.inboxes)

    @cached_property
    def upstreams(self) -> tuple[str, ...]:
        """Services behind the edge."""
        return tuple(each.name for each in self if each.routes)

    def consumers_of(self, type: str) -> tuple[str, ...]:
        """The services that consume a message type."""
        return tuple(each.name for each in self if type in each.consumes)

    def _with_store(self, store: Store) -> tuple[str, ...]:
        return tuple(each.name for each in self if store in each.stores)


def load(root: Path) -> Services:
    """Read the declarations of the clone at `root`, or of an image that has `deploy/` alone. Raises StartError."""
    files = sorted(root.glob("services/*/pyproject.toml"))
    tables = {file.parent.name: _table(file) for file in files} or _collected(root / COLLECTED)
    found = [declaration(name, table) for name, table in tables.items()]
    services = Services({each.name: each for each in sorted(found, key=lambda each: each.port)})
    if wrong := list(_contradictions(services)):
        raise StartError("The services' pyproject.toml contradict one another:\n  " + "\n  ".join(wrong))
    return services


def declaration(name: str, table: Mapping[str, Any]) -> Declaration:
    """Check the table of one service. Raises StartError that names what is wrong."""
    file = f"services/{name}/pyproject.toml"
    if name in RESERVED:
        raise StartError(f"{file}: the name {name} is reserved; choose another one.")
    try:
        found = msgspec.convert({**table, "name": name}, Declaration)
    except msgspec.ValidationError as error:
        raise StartError(f"{file}: [tool.quayside]: {error}") from None
    for type in (*found.publishes, *found.consumes):
        if not MESSAGE_TYPE.fullmatch(type):
            raise StartError(f"{file}: {type!r} is not a message type like 'order.confirmed.v1'.")
    if (found.publishes or found.consumes) and "rabbitmq" not in found.stores:
        raise StartError(f'{file}: a service with messages needs "rabbitmq" among its stores.')
    if found.publishes and "postgres" not in found.stores:
        raise StartError(f'{file}: a service that publishes needs "postgres" among its stores, for its outbox.')
    return found


def _table(file: Path) -> Mapping[str, Any]:
    """`[tool.quayside]` of one pyproject. Raises StartError."""
    name = file.parent.name
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("quayside")
    except (OSError, ValueError) as error:
        raise StartError(f"services/{name}/pyproject.toml: {error}") from None
    if not isinstance(table, Mapping):
        raise StartError(
            f"services/{name}/pyproject.toml has no [tool.quayside]; docs/how-to/new-service.md explains it."
        )
    return table


def _collected(file: Path) -> dict[str, Mapping[str, Any]]:
    """The tables of all services. Raises StartError."""
    try:
        found: dict[str, Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return found


def _contradictions(services: Services) -> Iterator[str]:
    for port, count in Counter(each.port for each in services).items():
        if count > 1:
            taken = [each.name for each in services if each.port == port]
            yield f"port {port} is taken by {' and '.join(taken)}"
    for route, count in Counter(route for each in services for route in each.routes).items():
        if count > 1:
            yield f"route {route} belongs to several services"
    for each in services:
        for called in sorted({*each.calls} - {*services.names} | {*each.calls} & {each.name}):
            yield f"{each.name} calls {called}, which is no other service"
    published = Counter(type for each in services for type in each.publishes)
    consumed = {type for each in services for type in each.consumes}
    for type in sorted(type for type, count in published.items() if count > 1):
        yield f"{type} is published by several services"
    for type in sorted(consumed - published.keys()):
        yield f"{type} is consumed, but no service publishes it"
    for type in sorted(published.keys() - consumed):
        yield f"{type} is published, but no service consumes it"

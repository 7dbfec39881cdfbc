"""Makes the live map's scene of samples of metrics. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from storefront.models.live import (
    CONSUMERS,
    SERVICES,
    STORES,
    Curve,
    Queue,
    Replica,
    Sample,
    Scene,
    Service,
    Store,
    Traffic,
    consumers_of,
)

__all__ = ["drawn"]


def drawn(at: datetime, samples: Iterable[Sample], curves: Iterable[Curve]) -> Scene:
    """Assembles the scene. The label `is` of a sample or curve tells what it measures: see `usecases.live`."""
    kinds: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.labels["is"]].append(sample)

    def by(kind: str, label: str) -> dict[str, float]:
        return {sample.labels.get(label, ""): sample.value for sample in kinds[kind]}

    def only(kind: str) -> float | None:
        return next((sample.value for sample in kinds[kind]), None)

    depths, consumed = by("queue", "queue"), by("consumer_up", "messaging_destination_name")
    return Scene(
        at=at,
        services=_services(kinds, by("p95", "job"), by("outbox", "job"), by("outbox_age", "job")),
        queues={name: _queue(name, depths, consumed) for name in CONSUMERS},
        stores=_stores(kinds, by("store_up", "job"), only("commands")),
        links=_links(kinds),
        open={status: round(value) for status, value in by("open", "status").items()},
        oldest=by("oldest", "status"),
        settled=by("settled", "status"),
        placed=only("placed"),
        seconds=only("seconds"),
        unknown_payments=round(only("undecided") or 0),
        curves={curve.labels["is"]: curve.points for curve in curves},
    )


def _services(
    kinds: Mapping[str, list[Sample]], p95: Mapping[str, float], outbox: Mapping[str, float], age: Mapping[str, float]
) -> dict[str, Service]:
    found = {
        name: Service(p95=p95.get(name), outbox=round(outbox.get(name, 0)), outbox_age=age.get(name, 0.0))
        for name in ("edge", *SERVICES)
    }
    for labels, value in kinds["up"]:
        if (job := labels.get("job", "")) in found:
            found[job].replicas.append(Replica(labels.get("instance", ""), "up" if value else "down"))
    for labels, _ in kinds["gone"]:
        if (job := labels.get("job", "")) in found:
            found[job].replicas.append(Replica(labels.get("instance", ""), "gone"))
    for each in found.values():
        each.replicas.sort(key=lambda replica: replica.name)
    for labels, value in kinds["requests"]:
        if (job := labels.get("job", "")) in found:
            _add(found[job].traffic, value, labels.get("class") == "5")
    for labels, value in kinds["edge"]:
        _add(found["edge"].traffic, value, labels.get("status", "").startswith("5"))
    found["edge"].broken = any(labels.get("job", "") == "nginx" and not value for labels, value in kinds["store_up"])
    return found


def _queue(name: str, depths: Mapping[str, float], consumed: Mapping[str, float]) -> Queue:
    depth, dead = depths.get(name), depths.get(f"{name}.dead")
    return Queue(
        None if depth is None else round(depth),
        None if dead is None else round(dead),
        bool(consumed[name]) if name in consumed else None,
    )


def _stores(
    kinds: Mapping[str, list[Sample]], exported: Mapping[str, float], commands: float | None
) -> dict[str, Store]:
    """A store is up if its exporter says so; RabbitMQ is its own exporter."""
    broker = [bool(value) for labels, value in kinds["up"] if labels.get("job", "") == "rabbitmq"]
    transactions = [value for _, value in kinds["transactions"]]
    stores = {name: Store(bool(exported[name]) if name in exported else None) for name in STORES}
    stores["valkey"].rate = commands
    stores["postgres"].rate = sum(transactions) if transactions else None
    return {**stores, "rabbitmq": Store(any(broker) if broker else None)}


def _links(kinds: Mapping[str, list[Sample]]) -> dict[tuple[str, str], Traffic]:
    links: defaultdict[tuple[str, str], Traffic] = defaultdict(Traffic)
    for labels, value in kinds["edge"]:
        _add(links["edge", labels.get("service", "")], value, labels.get("status", "").startswith("5"))
        _add(links["clients", "edge"], value, labels.get("status", "").startswith("5"))
    for labels, value in kinds["calls"]:
        if (called := labels.get("server_address", "")) in SERVICES:  # the provider and Prometheus are none
            _add(links[labels.get("job", ""), called], value, bool(labels.get("failed")))
    for labels, value in kinds["provider"]:
        _add(links["payment", "provider"], value, labels.get("outcome", "") == "unknown")
    for labels, value in kinds["sent"]:
        for consumer in consumers_of(labels.get("quayside_message_type", ""), labels.get("job", "")):
            _add(links[labels.get("job", ""), f"queue:{consumer}"], value)
    for labels, value in kinds["consumed"]:
        queue = labels.get("messaging_destination_name", "")
        _add(links[f"queue:{queue}", queue], value)
    for labels, value in kinds["transactions"]:
        _add(links[labels.get("datname", ""), "postgres"], value)
    return dict(links)


def _add(traffic: Traffic, rate: float, failed: bool = False) -> None:
    traffic.rate += rate
    traffic.failed += rate if failed else 0.0

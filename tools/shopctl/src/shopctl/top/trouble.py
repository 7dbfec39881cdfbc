"""What is wrong with the shop, in one sentence each, the worst first."""

from collections.abc import Iterator

from shopctl.top.figures import Figures, Service
from shopctl.units import rate, seconds

__all__ = ["OLD_EVENT", "OLD_ORDER", "trouble"]

OLD_EVENT = 10.0
OLD_ORDER = 120.0
"""Seconds after which an order that is not settled is worth a look: a lost answer of the provider takes a minute."""


def trouble(figures: Figures) -> list[str]:
    """Returns the sentences; none if all is well."""
    return list(dict.fromkeys(_all(figures)))


def _all(figures: Figures) -> Iterator[str]:
    yield from figures.remarks
    for each in (*figures.stores, *figures.services):
        if not each.up:
            yield f"{each.name} does not answer."
        elif each.up < each.processes:
            yield f"{each.processes - each.up} of {each.processes} processes of {each.name} do not answer."
    yield from _queues(figures)
    for each in figures.services:
        yield from _of(each)
    if figures.orders.stuck:
        yield f"{figures.orders.stuck} payments need an operator: `shopctl payments list --stuck`"
    for held in figures.orders.open:
        if held.count and held.age > OLD_ORDER:
            yield f"The oldest {held.state} order has had this status for {seconds(held.age)}."
    if figures.audit and figures.audit.failed:
        yield f"The last audit was not clean: {', '.join(figures.audit.failed)}"


def _queues(figures: Figures) -> Iterator[str]:
    if figures.queues is None:
        if all(each.up for each in figures.stores if each.name == "rabbitmq"):
            yield "RabbitMQ does not answer about its queues."
        return
    for name, queue in figures.queues.items():
        if queue is None:
            yield f"The queue {name} is missing."
        elif "." not in name and not queue.consumers:
            yield f"The queue {name} has no consumer."


def _of(service: Service) -> Iterator[str]:
    if service.errors:
        yield f"{service.name} answers {rate(service.errors)} requests a second with an error."
    if service.dead:
        yield f"{service.name} has {service.dead} dead letters: `shopctl dead-letters list {service.name}`"
    if service.outbox_age and service.outbox_age > OLD_EVENT:
        yield f"{service.name} has not published an event for {seconds(service.outbox_age)}."

"""A6 and A7: every message is published and handled by its consumers, or is an expected dead letter."""

import asyncio
from collections.abc import Collection
from uuid import UUID

from shopctl.audit.finding import Finding
from shopctl.audit.scope import Page, Scope
from shopctl.audit.sources import Sources
from shopctl.broker import ids
from shopctl.topology import retries

__all__ = ["a6", "a7", "dead_letters"]

# As bytes, because they take less memory and time than UUIDs.
ARCHIVED = "SELECT routing_key, array_agg(uuid_send(id)) AS ids FROM outbox_archive WHERE {} GROUP BY routing_key"
HANDLED = "SELECT coalesce(array_agg(uuid_send(event_id)), '{{}}') FROM inbox WHERE consumer = $1 AND {}"


async def dead_letters(sources: Sources) -> dict[str, set[str]]:
    """Return the IDs of the events in each service's dead letters, and leave these in place.

    A message that is not a batch of events has the ID `sha256:` and the digest of its body.
    """
    async with sources.channel() as channel:
        found: dict[str, set[str]] = {}
        for name in sources.services.consumers:
            queue = await channel.declare_queue(f"{name}.dead", passive=True)
            found[name] = set()
            while (message := await queue.get(no_ack=False, fail=False)) is not None:
                found[name] |= set(ids(message.body))
        return found


async def a6(sources: Sources, scope: Scope, dead: dict[str, set[str]]) -> Finding:
    finding = Finding("A6", "messages: outboxes empty, each event handled by each of its consumers")
    services = sources.services
    finding.counts |= {"events": 0, **{f"handled by {name}": 0 for name in services.inboxes}}
    for name in services.outboxes:
        stuck = await sources.databases[name].fetch("SELECT id FROM outbox")
        finding.blame(f"in {name}'s outbox", (row["id"] for row in stuck))
    for page in scope.events:
        archived = await _archived(sources, page)
        finding.counts["events"] += sum(map(len, archived.values()))
        for name in services.inboxes:  # cart has none: its handler is idempotent by itself
            handled = set(await sources.databases[name].fetchval(HANDLED.format(page.of("event_id")), name))
            finding.counts[f"handled by {name}"] += len(handled)
            for key in sorted(services[name].consumes):
                missing = {str(UUID(bytes=id)) for id in archived.get(key, set()).difference(handled)}
                finding.blame(f"{key} never handled by {name}", missing - dead[name])
    return finding


async def _archived(sources: Sources, page: Page) -> dict[str, set[bytes]]:
    """Return the IDs of a page's events by routing key."""
    databases = [sources.databases[name] for name in sources.services.outboxes]
    archived: dict[str, set[bytes]] = {}
    for rows in await asyncio.gather(*(each.fetch(ARCHIVED.format(page.of("id"))) for each in databases)):
        for row in rows:
            archived.setdefault(row["routing_key"], set()).update(row["ids"])
    return archived


async def a7(sources: Sources, dead: dict[str, set[str]], poisoned: Collection[str]) -> Finding:
    finding = Finding("A7", "queues: empty, with consumers, and the dead letters are the expected ones")
    consumers = sources.services.consumers
    async with sources.channel() as channel:
        for name in (*consumers, *retries(sources.services)):
            declared = (await channel.declare_queue(name, passive=True)).declaration_result
            waiting = declared.message_count or 0
            finding.counts["messages"] = finding.counts.get("messages", 0) + waiting
            if waiting:
                finding.blame("messages waiting", [name])
            if name in consumers and not declared.consumer_count:
                finding.blame("no consumer", [name])
    all_dead = set().union(*dead.values())
    finding.counts["dead letters"] = len(all_dead)
    finding.blame("unexpected dead letter", sorted(all_dead - set(poisoned)))
    finding.blame("expected dead letter is missing", sorted(set(poisoned) - all_dead))
    return finding

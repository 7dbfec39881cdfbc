"""A6 and A7: every message is published and handled by its consumers, or is an expected dead letter."""

from collections.abc import Collection
from uuid import UUID

from shopctl.audit.finding import Finding
from shopctl.audit.sources import Sources
from shopctl.broker import ids
from shopctl.topology import retries

__all__ = ["a6", "a7", "dead_letters"]


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


async def a6(sources: Sources, dead: dict[str, set[str]]) -> Finding:
    finding = Finding("A6", "messages: outboxes empty, each event handled by each of its consumers")
    archived: dict[str, set[bytes]] = {}
    for name in sources.services.outboxes:
        connection = sources.databases[name]
        stuck = await connection.fetch("SELECT id FROM outbox")
        finding.blame(f"in {name}'s outbox", (row["id"] for row in stuck))
        # As bytes, because an archive holds millions of IDs.
        for row in await connection.fetch(
            "SELECT routing_key, array_agg(uuid_send(id)) AS ids FROM outbox_archive GROUP BY routing_key"
        ):
            archived.setdefault(row["routing_key"], set()).update(row["ids"])
    finding.counts["events"] = sum(map(len, archived.values()))
    for name in sources.services.inboxes:  # cart has none: its handler is idempotent by itself
        rows = await sources.databases[name].fetch(
            "SELECT uuid_send(event_id) AS id FROM inbox WHERE consumer = $1", name
        )
        handled = {row["id"] for row in rows}
        finding.counts[f"handled by {name}"] = len(handled)
        for key in sorted(sources.services[name].consumes):
            missing = {str(UUID(bytes=id)) for id in archived.get(key, set()) - handled}
            finding.blame(f"{key} never handled by {name}", missing - dead[name])
    return finding


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

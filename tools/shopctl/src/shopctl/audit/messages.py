"""A6 and A7: every message was published, handled once by all who should, or is dead on purpose."""

from collections.abc import Collection
from uuid import UUID

from shopctl.audit.finding import Finding
from shopctl.audit.sources import Sources
from shopctl.broker import ids
from shopctl.topology import retries

__all__ = ["a6", "a7", "dead_letters"]


async def dead_letters(sources: Sources) -> dict[str, set[str]]:
    """Ids of the events in each service's dead letters, which stay there.

    What is no batch of events is known by `sha256:` and the digest of its body.
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
    finding = Finding("A6", "messages: outboxes empty, each event handled by all who are bound to it")
    archived: dict[str, set[bytes]] = {}
    for name in sources.services.outboxes:
        connection = sources.databases[name]
        stuck = await connection.fetch("SELECT id FROM outbox")
        finding.blame(f"in {name}'s outbox", (row["id"] for row in stuck))
        # As bytes: an archive holds millions of ids.
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
    finding = Finding("A7", "queues: empty, consumed, and dead is what was poisoned")
    consumers = sources.services.consumers
    async with sources.channel() as channel:
        for name in (*consumers, *retries(sources.services)):
            declared = (await channel.declare_queue(name, passive=True)).declaration_result
            waiting = declared.message_count or 0
            finding.counts["messages"] = finding.counts.get("messages", 0) + waiting
            if waiting:
                finding.blame("messages wait", [name])
            if name in consumers and not declared.consumer_count:
                finding.blame("nobody consumes", [name])
    all_dead = set().union(*dead.values())
    finding.counts["dead letters"] = len(all_dead)
    finding.blame("dead, but not poisoned", sorted(all_dead - set(poisoned)))
    finding.blame("poisoned, but not dead", sorted(set(poisoned) - all_dead))
    return finding

"""The whole audit: runs all checks, repeatedly until all invariants hold or the time is up."""

import asyncio
import time
from collections.abc import Collection, Sequence

from shopctl.audit.attempts import Journal, a4
from shopctl.audit.finding import Finding
from shopctl.audit.messages import a6, a7, dead_letters
from shopctl.audit.money import a3, a9
from shopctl.audit.orders import a5, a8, a10
from shopctl.audit.scope import Scope, last_passed, scope_of
from shopctl.audit.sources import UNREADABLE, Addresses, Sources, opened
from shopctl.audit.stock import a1, a2
from shopctl.console import err, reason
from shopctl.services import Services
from shopctl.statuses import OPEN, UNDOING
from shopctl.topology import retries

__all__ = ["check"]

POLL_SECONDS = 0.5


async def check(
    addresses: Addresses,
    services: Services,
    attempts: Journal | None = None,
    poisoned: Collection[str] = (),
    wait: float = 0,
    *,
    since_last: bool = False,
) -> list[Finding]:
    """Check every invariant, repeatedly for up to `wait` seconds until all hold. Raises one of UNREADABLE.

    With `since_last`, only what has changed since the last audit: see `scope`. The order service gets the result, for
    the metrics; if it cannot, a line on stderr says so.
    """
    deadline = time.monotonic() + wait
    async with opened(addresses, services) as sources:
        since = await last_passed(sources) if since_last else None
        if since_last:
            what = f"what has changed since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "everything"
            err.print(f"This audit looks at {what}.", markup=False, soft_wrap=True)
        while True:
            late = time.monotonic() >= deadline
            if late or await quiet(sources):
                findings = await look(sources, await scope_of(sources, since), attempts, poisoned)
                if late or all(each.ok for each in findings):
                    await report(sources, findings)
                    return findings
            await asyncio.sleep(POLL_SECONDS)


async def report(sources: Sources, findings: Sequence[Finding]) -> None:
    try:
        await sources.report({each.invariant: each.number for each in findings})
    except UNREADABLE as error:
        err.print(f"The metrics do not show this audit: {reason(error)}", markup=False, soft_wrap=True)


async def look(sources: Sources, scope: Scope, attempts: Journal | None, poisoned: Collection[str]) -> list[Finding]:
    """Run all checks side by side: they wait for different databases and the provider."""
    dead = await dead_letters(sources)
    checks = (
        a1(sources),
        a2(sources, scope),
        a3(sources, scope),
        a4(sources, attempts),
        a5(sources),
        a6(sources, scope, dead),
        a7(sources, dead, poisoned),
        a8(sources, scope),
        a9(sources, scope),
        a10(sources),
    )
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in checks]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


async def quiet(sources: Sources) -> bool:
    """Whether all outboxes and queues are empty and no order is in progress."""
    for name in sources.services.outboxes:
        if await sources.databases[name].fetchval("SELECT EXISTS (SELECT FROM outbox)"):
            return False
    unsettled = "SELECT EXISTS (SELECT FROM orders WHERE status = ANY ($1::text[]))"
    if await sources.order.fetchval(unsettled, [*OPEN, *UNDOING]):
        return False
    names = (*sources.services.consumers, *retries(sources.services))
    async with sources.channel() as channel:
        queues = [await channel.declare_queue(name, passive=True) for name in names]
        return not any(queue.declaration_result.message_count for queue in queues)

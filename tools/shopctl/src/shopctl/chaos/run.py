"""One run of `shopctl chaos run`: traffic, the faults of a schedule, and audits."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg

from chassis.local.processes import StartError
from shopctl.audit.attempts import Journal
from shopctl.audit.finding import Finding
from shopctl.audit.run import check
from shopctl.audit.sources import UNREADABLE, Addresses
from shopctl.chaos import catalog
from shopctl.chaos.injection import heal, injected
from shopctl.chaos.recovery import Request, intervals, limits, recovery
from shopctl.chaos.schedule import LEAD_IN, Planned, Round, parts
from shopctl.chaos.timeline import Audit, Injected, Run
from shopctl.chaos.traffic import Traffic, TrafficEnded
from shopctl.console import reason
from shopctl.shop import Shop

__all__ = ["Running"]

PATIENCE = 150.0
"""Seconds that an audit waits until all invariants hold: a payment whose answer was lost waits a minute for a retry."""
FIRST = 30.0
"""The same for the audit before the first fault."""
CONFIRMED = (
    "SELECT extract(epoch FROM at)::float8 - $1 AS at FROM order_history"
    " WHERE status = 'CONFIRMED' AND at >= to_timestamp($1) ORDER BY at"
)


@dataclass
class Running:
    """Executes a run, and records in `run` what happened. `say` prints a line of progress."""

    shop: Shop
    run: Run
    traffic: Traffic
    say: Callable[[str], None]
    _rests: list[tuple[float, float]] = field(default_factory=list, init=False)
    _ends: list[tuple[float, float]] = field(default_factory=list, init=False)
    """For each fault, when the last of its round was undone, and until when it was watched."""

    def execute(self, rounds: Sequence[Round]) -> None:
        """Injects all faults, or ends at the first audit that fails. `run.trouble` then says what went wrong.

        On any other exception, such as KeyboardInterrupt, each fault has been undone and the traffic has ended.
        """
        try:
            good = self._audit()
            for part in parts(rounds):
                if good:
                    good = self._part(part)
        except (TrafficEnded, StartError) as error:
            self.run.stopped = reason(error)
        self._conclude()

    def _part(self, rounds: Sequence[Round]) -> bool:
        """Injects the faults between two audits, and makes the second one. Returns whether it passed.

        Raises StartError if a fault cannot be undone.
        """
        with self.traffic.flowing():
            self._rest(LEAD_IN)
            for each in rounds:
                first = len(self.run.faults)
                try:
                    self._inject(each.faults, each.apart)
                finally:
                    heal(self.shop)  # what could not be undone
                undone = self._now()
                self._rest(each.quiet)
                self._ends += [(undone, self._now())] * (len(self.run.faults) - first)
        return self._audit()

    def _rest(self, seconds: float) -> None:
        began = self._now()
        self.traffic.sleep(seconds)
        self._rests.append((began, self._now()))

    def _inject(self, faults: Sequence[Planned], apart: float) -> None:
        """Injects faults inside one another: the first one begins first and ends last.

        One that cannot be injected or undone is recorded, and the others go on.
        """
        planned, *others = faults
        fault = catalog.find(planned.fault)
        noted = Injected(fault.name, planned.on, fault.does, self._now(), self._now())
        self.run.faults.append(noted)
        self.say(f"{fault.name} on {planned.on}, for {planned.seconds:g} s")
        try:
            with injected(self.shop, fault, planned.on):
                end = time.monotonic() + planned.seconds
                if others:
                    self.traffic.sleep(apart)
                    self._inject(others, apart)
                self.traffic.sleep(end - time.monotonic())
        except (StartError, OSError) as error:
            noted.error = reason(error)
            self.say(f"{fault.name} on {planned.on} failed: {noted.error}")
            if _interrupted(error):
                raise KeyboardInterrupt from error
        finally:
            noted.until = self._now()

    def _audit(self) -> bool:
        audit = Audit(self._now(), 0.0, len(self.run.faults))
        self.run.audits.append(audit)
        try:
            if absent := [name for name in self.shop.names if name not in self.shop.processes()]:
                audit.error = f"no longer running: {', '.join(absent)}"
            else:
                audit.findings = self._findings()
        except UNREADABLE as error:
            audit.error = f"the audit cannot read the shop: {reason(error)}"
        audit.until = self._now()
        self.say(f"audit {'passed' if audit.ok else 'FAILED'}, after {audit.until - audit.at:.1f} s")
        return audit.ok

    def _findings(self) -> list[Finding]:
        """What the audit finds. It tries again while a part of the shop does not answer. Raises one of UNREADABLE."""
        attempts = self.traffic.attempts()
        addresses, services = Addresses.of(self.shop.place), self.shop.place.services
        end = time.monotonic() + (PATIENCE if self.run.faults else FIRST)
        with Journal.of(attempts) as journal:
            made = journal if attempts else None  # without any, A4 cannot tell since when there should be some
            while True:
                left = max(0.0, end - time.monotonic())
                try:
                    return asyncio.run(check(addresses, services, made, wait=left))
                except UNREADABLE:
                    if not left:
                        raise
                    time.sleep(1)

    def _conclude(self) -> None:
        run = self.run
        run.length = self._now()
        began = run.began
        requests = [each._replace(at=each.at - began) for each in self.traffic.requests()]
        with suppress(*UNREADABLE):
            run.orders = len({each.order_id for each in self.traffic.attempts() if each.status == 202})
        confirmed: list[float] = []
        with suppress(*UNREADABLE):
            confirmed = asyncio.run(self._confirmed())
        usual = limits(each for each in requests if self._undisturbed(each))
        for fault, (undone, end) in zip(run.faults, self._ends, strict=False):
            fault.recovery = recovery(requests, confirmed, fault.at, undone, end, usual)
        run.width, run.intervals = intervals(requests, confirmed, run.length)

    def _undisturbed(self, request: Request) -> bool:
        return any(begin <= request.at and request.end <= end for begin, end in self._rests)

    async def _confirmed(self) -> list[float]:
        """When orders of this run became CONFIRMED. Raises one of UNREADABLE."""
        connection = await asyncpg.connect(self.shop.place.database_url("auditor", "order"), timeout=5)
        try:
            return [row["at"] for row in await connection.fetch(CONFIRMED, self.run.began, timeout=30)]
        finally:
            await connection.close()

    def _now(self) -> float:
        return round(time.time() - self.run.began, 3)


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error came while a fault was undone because of Ctrl-C."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None

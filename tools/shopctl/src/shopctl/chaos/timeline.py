"""What a run did and saw, as it is kept in `timeline.json`. Times are in seconds since `began`."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shopctl.audit.finding import Finding

__all__ = ["FILE", "Audit", "Injected", "Interval", "Recovery", "Run", "read", "save"]

FILE = "timeline.json"
LOST, TWICE = "acknowledged, but lost", ("several orders for one key", "captured more than once")
"""What the audit calls orders that are lost or doubled."""


class Recovery(msgspec.Struct):
    """What shoppers noticed of a fault; `shopctl.chaos.recovery` defines each figure. Seconds.

    `answering` and `confirming` are None if that was not seen within `watched` seconds after the end of the fault.
    """

    outage: float
    step: str
    failed: int
    refused: int
    answering: float | None
    confirming: float | None
    watched: float


class Injected(msgspec.Struct):
    """A fault of the run. `at` is when its injection began, `until` when it was undone. `error` is why it was not."""

    fault: str
    on: str
    does: str
    at: float
    until: float
    error: str | None = None
    recovery: Recovery | None = None


class Audit(msgspec.Struct):
    """An audit after `after` faults. Traffic paused from `at` to `until`. `error` says why it could not be made."""

    at: float
    until: float
    after: int
    findings: list[Finding] = []
    error: str | None = None

    @property
    def ok(self) -> bool:
        return bool(self.findings) and all(each.ok for each in self.findings)


class Interval(msgspec.Struct):
    """Answers from `at` on, and orders that became CONFIRMED. p50 and p95 are in ms, of good answers."""

    at: float
    ok: int
    refused: int
    failed: int
    confirmed: int
    p50: float | None
    p95: float | None


class Run(msgspec.Struct):
    """The whole run. `seconds` is what `--for` asked for, `length` how long it took, `width` that of an interval."""

    seed: int
    seconds: float
    users: int
    runtime: str
    command: str
    began: float
    versions: dict[str, str]
    planned: int
    length: float = 0.0
    width: float = 1.0
    orders: int = 0
    faults: list[Injected] = []
    audits: list[Audit] = []
    intervals: list[Interval] = []
    stopped: str | None = None

    @property
    def started(self) -> str:
        return datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    @property
    def lost(self) -> int | None:
        """The number of orders that are lost, or None if no audit has looked since the last fault."""
        return self._wrong(LOST)

    @property
    def doubled(self) -> int | None:
        """The same for orders that exist twice, or were paid twice."""
        return self._wrong(*TWICE)

    @property
    def longest(self) -> Injected | None:
        """The fault with the longest outage."""
        seen = [each for each in self.faults if each.recovery]
        return max(seen, key=lambda each: each.recovery.outage if each.recovery else 0, default=None)

    @property
    def trouble(self) -> list[str]:
        """Why the run has not passed; empty if it has."""
        found = [self.stopped] if self.stopped else []
        found += [f"{each.fault} on {each.on}: {each.error}" for each in self.faults if each.error]
        for audit in self.audits:
            found += [audit.error] if audit.error else []
            found += [f"{each.invariant} fails: {', '.join(each.wrong)}" for each in audit.findings if not each.ok]
        if not self.faults:
            found.append("no fault was injected, so the run proves nothing")
        if not self.audits or self.audits[-1].after < len(self.faults):
            found.append("no audit followed the last fault")
        if not self.orders:
            found.append("no order was accepted, so the run proves nothing")
        return found

    def _wrong(self, *how: str) -> int | None:
        if not self.audits or not self.audits[-1].findings or self.audits[-1].after < len(self.faults):
            return None
        return sum(len(each.wrong.get(name, ())) for each in self.audits[-1].findings for name in how)


def save(run: Run, folder: Path) -> None:
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def read(folder: Path) -> Run:
    """Reads what `save` wrote. Raises OSError or msgspec.DecodeError."""
    return msgspec.json.decode((folder / FILE).read_bytes(), type=Run)

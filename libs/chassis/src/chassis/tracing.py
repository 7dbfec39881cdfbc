"""Traces: spans that continue over HTTP and messages, sent by OTLP to one endpoint.

The OpenTelemetry SDK for Python takes 46 µs for a span; an order has about 50 spans and costs 2.5 ms of CPU time. This
module takes 4 µs. It does what the shop needs: W3C `traceparent`, spans with attributes and links, export as OTLP/JSON
over HTTP from a thread with a bounded buffer. Names and attributes follow OpenTelemetry's semantic conventions;
docs/reference/telemetry.md lists them. `test_tracing.py` shows a trace, and `test_otlp.py` a collector that is down,
slow or full.

A request that is not sampled has a `Context`, so that its log lines and messages have its trace ID, and no spans.
"""

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self

__all__ = [
    "CLIENT",
    "CONSUMER",
    "INTERNAL",
    "PRODUCER",
    "SERVER",
    "Context",
    "Span",
    "batch",
    "current",
    "describe",
    "export_to",
    "exporting",
    "extract",
    "failed",
    "inside",
    "is_processed",
    "keep",
    "processing",
    "receive",
    "recording",
    "span",
    "trace_id",
    "traceparent",
    "traceparent_of",
]

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
"""Kinds of spans, with OTLP's numbers."""

Value = str | int | float | bool
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Context:
    """A place in a trace, as a traceparent names it. `recording` is true if spans below it are recorded."""

    __slots__ = ("flags", "recording", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str, flags: str, recording: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.recording = recording

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


class Span(Context):
    """One step of a trace. It is the current context inside its `with` block, and is exported at the end of the block.

    An exception that leaves the block makes the span an error.
    """

    __slots__ = ("_token", "attributes", "end", "error", "kind", "links", "name", "parent_id", "start")

    def __init__(
        self,
        name: str,
        kind: int,
        parent: Context | None,
        attributes: dict[str, Value] | None = None,
        links: Sequence[Context] = (),
    ) -> None:
        self.trace_id = f"{random.getrandbits(128):032x}" if parent is None else parent.trace_id
        self.span_id = f"{random.getrandbits(64) or 1:016x}"
        self.flags = "01"
        self.recording = True
        self.parent_id = "" if parent is None else parent.span_id
        self.name = name
        self.kind = kind
        self.attributes = {} if attributes is None else attributes
        self.links = links
        self.error: str | None = None
        self.start = time.time_ns()
        self.end = 0

    def set(self, key: str, value: Value) -> None:
        self.attributes[key] = value

    def fail(self, error: str) -> None:
        """Marks the span as an error. `error` is a status or the name of an exception, never its text."""
        self.error = error
        self.attributes["error.type"] = error

    def finish(self) -> None:
        """Exports the span, once. What is set later is not exported."""
        if self.end:
            return
        self.end = time.time_ns()
        if _exporter is not None:
            _exporter.add(self)

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        if kind is not None and self.error is None and not self.end:
            self.fail(kind.__name__)
        self.finish()


class Nothing:
    """Stands for a span that is not recorded."""

    __slots__ = ()

    def set(self, key: str, value: Value) -> None:
        pass

    def fail(self, error: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Takes(Protocol):
    """An exporter; see `chassis.otlp`."""

    @property
    def add(self) -> Callable[[Span], None]: ...


class Caused(Protocol):
    """An event, as `processing` takes it."""

    @property
    def subject(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...


_NOTHING = Nothing()
_current: ContextVar[Context | None] = ContextVar("trace", default=None)
_subjects: ContextVar[Mapping[str, Context | None]] = ContextVar("subjects", default={})  # noqa: B039
_exporter: "Takes | None" = None
_threshold = 0  # a trace is sampled if the last 56 bits of its ID are below this number


def export_to(exporter: "Takes | None", ratio: float) -> None:
    """Records spans from now on: those of a share of the traces, and of all whose traceparent says `sampled`."""
    global _exporter, _threshold
    _exporter = exporter
    _threshold = int(ratio * (1 << 56)) if exporter is not None else 0


def extract(traceparent: str | None) -> Context | None:
    """Returns the context that a traceparent names; None if there is none, or it is malformed.

    Whether a trace is sampled depends only on its flag and its ID, so all services decide alike.
    """
    if traceparent is None or (found := TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    trace_id, span_id, flags = found.groups()
    recording = _exporter is not None and (bool(int(flags, 16) & 1) or int(trace_id[18:], 16) < _threshold)
    return Context(trace_id, span_id, flags, recording)


def exporting() -> bool:
    return _exporter is not None


def current() -> Context | None:
    return _current.get()


def recording() -> bool:
    """Returns whether a span that begins now is recorded."""
    context = _current.get()
    return context is not None and context.recording


def trace_id() -> str | None:
    context = _current.get()
    return None if context is None else context.trace_id


def traceparent() -> str | None:
    """Returns the current context as a W3C traceparent; None outside any trace."""
    context = _current.get()
    return None if context is None else context.traceparent


def is_processed(subject: str) -> bool:
    """Returns whether the batch that is being processed has an event about `subject`."""
    return subject in _subjects.get()


def traceparent_of(subject: str) -> str | None:
    """Returns the traceparent of the event about `subject` that is being processed; None if there is none."""
    context = _subjects.get().get(subject)
    return None if context is None else context.traceparent


def span(name: str, kind: int = INTERNAL, attributes: dict[str, Value] | None = None) -> Span | Nothing:
    """Returns a span below the current context; it records nothing if that is not sampled."""
    above = _current.get()
    return _NOTHING if above is None or not above.recording else Span(name, kind, above, attributes)


def describe(key: str, value: Value) -> None:
    """Sets an attribute of the current span, if there is one."""
    context = _current.get()
    if isinstance(context, Span):
        context.attributes[key] = value


def receive(traceparent: str | None) -> Context | None:
    """Returns the context of an incoming request: its caller's, or a new trace if it has none and traces are on."""
    context = extract(traceparent)
    if context is None and _exporter is not None:
        fresh = f"{random.getrandbits(128) or 1:032x}"
        if int(fresh[18:], 16) < _threshold:
            return Context(fresh, "", "01", True)
        return Context(fresh, f"{random.getrandbits(64) or 1:016x}", "00", False)
    return context


@contextlib.contextmanager
def inside(context: Context | None) -> Iterator[None]:
    """Makes a context the current one, for work that began elsewhere, such as a row that holds its traceparent."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def batch(name: str, contexts: Sequence[Context | None]) -> Iterator[None]:
    """Runs work that several traces share.

    With one sampled context, the work belongs to it. With several, it is a trace of its own, linked to each of them.
    """
    sampled = [context for context in contexts if context is not None and context.recording]
    if not sampled:
        yield
    elif len(sampled) == 1:
        with inside(sampled[0]):
            yield
    else:
        with Span(name, INTERNAL, None, {"quayside.batch.size": len(contexts)}, sampled):
            yield


@contextlib.contextmanager
def processing(queue: str, type: str, events: Sequence[Caused]) -> Iterator[None]:
    """Opens a span for each sampled event of a batch, below the span that sent it.

    Messages that the handler puts into the outbox continue the trace of the event with the same subject; if that event
    has none, they have none, because the current context may be another event's.
    """
    contexts = {event.subject: extract(event.traceparent) for event in events}
    spans: list[Span] = []
    for subject, context in contexts.items():
        if context is not None and context.recording:
            spans.append(
                Span(
                    f"process {queue}",
                    CONSUMER,
                    context,
                    {
                        "messaging.system": "rabbitmq",
                        "messaging.operation.name": "process",
                        "messaging.operation.type": "process",
                        "messaging.destination.name": queue,
                        "messaging.batch.message_count": len(events),
                        "quayside.message.type": type,
                        "quayside.subject": subject,
                    },
                )
            )
            contexts[subject] = spans[-1]
    token = _subjects.set(contexts)
    try:
        with batch(f"process {queue} (batch)", spans):
            yield
    except BaseException as error:
        for each in spans:
            each.fail(error.__class__.__name__)
        raise
    finally:
        _subjects.reset(token)
        for each in spans:
            each.finish()


def failed(subject: str, error: BaseException) -> None:
    """Marks the span of one event of the current batch as an error."""
    context = _subjects.get().get(subject)
    if isinstance(context, Span):
        context.fail(error.__class__.__name__)


def keep(name: str, start: float, end: float, attributes: dict[str, Value], *, error: str | None = None) -> None:
    """Exports a span of the past below the current context, even if its trace is not sampled.

    `start` and `end` are in seconds since 1970.
    """
    context = _current.get()
    if context is None or _exporter is None:
        return
    past = Span(name, INTERNAL, context, attributes)
    past.start, past.end = int(start * 1e9), int(end * 1e9)
    if error is not None:
        past.fail(error)
    _exporter.add(past)

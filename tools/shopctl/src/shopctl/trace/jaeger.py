"""The steps of an order from Jaeger: the spans of its trace, by the API that Jaeger's own pages use."""

import json
from collections import defaultdict
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from shopctl.console import printable
from shopctl.edge import http
from shopctl.trace.order import Order
from shopctl.trace.tree import NOTABLE, Step
from shopctl.units import seconds

__all__ = ["NoTrace", "steps"]

STRANGE = "what answers at Jaeger's address is not Jaeger"
TIMEOUT = 5.0
MOST_BYTES = 32 * 1024 * 1024
AROUND = timedelta(hours=1)


class NoTrace(Exception):
    """Jaeger does not answer, or has no trace of the order; the message says which."""


def steps(url: str, order: Order) -> list[Step]:
    """Returns the spans without a parent, with all below them. Raises NoTrace."""
    if order.trace_id:
        found = _get(f"{url}/api/traces/{order.trace_id}")
    else:
        query = {
            "service": "order",
            "tags": json.dumps({"quayside.order.id": str(order.id)}),
            "start": int((order.created_at - AROUND).timestamp() * 1e6),
            "end": int((order.created_at + AROUND).timestamp() * 1e6),
            "limit": 20,
        }
        found = _get(f"{url}/api/traces?{urlencode(query)}")
    try:
        trees = [_tree(trace) for trace in found]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NoTrace(STRANGE) from None
    if not any(trees):
        raise NoTrace("Jaeger has no trace of this order: it was not sampled, or is no longer kept")
    return min(filter(None, trees), key=lambda tree: tree[0].start)


def _get(url: str) -> list[dict[str, Any]]:
    try:
        with http.open(url, timeout=TIMEOUT) as answer:
            found = json.loads(answer.read(MOST_BYTES))["data"]
    except HTTPError as error:
        if error.code == 404:
            return []
        raise NoTrace(f"Jaeger answered {error.code}") from None
    except OSError as error:
        raise NoTrace(f"Jaeger does not answer: {getattr(error, 'reason', None) or error}") from None
    except (ValueError, KeyError, TypeError):
        raise NoTrace(STRANGE) from None
    return found if isinstance(found, list) else []


def _tree(trace: dict[str, Any]) -> list[Step]:
    spans = {span["spanID"]: span for span in trace["spans"]}
    services = {id: process["serviceName"] for id, process in trace["processes"].items()}
    below: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for span in sorted(spans.values(), key=lambda span: span["startTime"]):
        parent = next((each["spanID"] for each in span.get("references", ()) if each["refType"] == "CHILD_OF"), None)
        below[parent if parent in spans and parent != span["spanID"] else None].append(span)

    def step(span: dict[str, Any]) -> Step:
        tags = {tag["key"]: tag["value"] for tag in span.get("tags", ())}
        start, wait = span["startTime"] / 1e6, _number(tags.get("quayside.outbox.wait"))
        failed = tags.get("error") in (True, "true")
        return Step(
            printable(str(services.get(span["processID"], "?"))),
            printable(str(span["operationName"])),
            start,
            start + max(span["duration"], 1) / 1e6,
            waited_since=start - wait if wait else None,
            error=printable(str(tags.get("error.type", "error"))) if failed else None,
            note=", ".join(_notes(span, tags, wait)),
            children=[step(each) for each in below[span["spanID"]]],
        )

    return [step(span) for span in below[None]]


def _notes(span: dict[str, Any], tags: dict[str, Any], wait: float) -> list[str]:
    notes = []
    if wait > NOTABLE:
        notes.append(f"waited {seconds(wait)} in the outbox")
    if (count := _number(tags.get("messaging.batch.message_count"))) > 1:
        notes.append(f"in a batch of {count:.0f}")
    if outcome := tags.get("quayside.payment.outcome"):
        notes.append(f"{tags.get('quayside.payment.provider', 'provider')}: {outcome}")
    if status := tags.get("quayside.order.status"):
        notes.append(str(status))
    linked = [each["traceID"] for each in span.get("references", ()) if each["refType"] != "CHILD_OF"]
    if linked:
        notes.append(f"linked to {', '.join(dict.fromkeys(linked))}")
    return [printable(note) for note in notes]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0

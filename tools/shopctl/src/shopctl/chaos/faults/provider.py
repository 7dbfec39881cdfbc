"""The payment provider is slow, fails, loses its answers, or lies."""

import json
from collections.abc import Sequence
from urllib.request import Request

from shopctl.chaos.fault import Fault, State, Target
from shopctl.edge import http

__all__ = ["FAULTS"]

TIMEOUT = 10.0


def _provider(shop: Target) -> Sequence[str]:
    return ["psp"]


def _set(shop: Target, fault: dict[str, object]) -> None:
    """Set a fault of the sandbox provider; services/psp/README.md describes them. Raises OSError."""
    body, headers = json.dumps(fault).encode(), {"Content-Type": "application/json"}
    http.open(Request(f"{shop.place.psp_url}/sandbox/faults", body, headers), timeout=TIMEOUT).close()  # noqa: S310


def _fault(name: str, does: str, **fault: object) -> Fault:
    def begin(shop: Target, on: str, state: State) -> None:
        _set(shop, fault)

    def end(shop: Target, on: str, state: State) -> None:
        _set(shop, {"mode": "none"})

    return Fault(f"provider-{name}", does, _provider, begin, end)


FAULTS = (
    _fault("slow", "makes the provider answer 3 s late", mode="slow", seconds=3),
    _fault("500", "makes the provider answer 500, alternately before and after the money moved", mode="error500"),
    _fault("lost-reply", "makes the provider move the money and close the connection", mode="lost-reply"),
    _fault("lies", "makes the provider send false webhooks before each answer", mode="lies"),
)

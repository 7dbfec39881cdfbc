"""docs/overload.md lists the bounds of all services, as they are."""

import re
from pathlib import Path

import pytest

import cart.routes
import catalog.routes
import identity.routes
import order.routes
import storefront.routes

ROOT = Path(__file__).parents[2]
KINDS = {
    (service.__name__.partition(".")[0], kind.name): kind
    for service in (cart.routes, catalog.routes, identity.routes, order.routes, storefront.routes)
    for kind in service.KINDS
}
EDGE = (ROOT / "deploy/nginx/quayside.conf.template").read_text()
ROW = re.compile(r"^\| (\w+) \| (buying|browsing) \| (.+) \| (\d+|–) \| (\d+|–)(, from the edge)? \|$", re.MULTILINE)
ROWS = {(row[1], row[2]): row for row in ROW.finditer((ROOT / "docs/overload.md").read_text())}
NEVER_REFUSED = [
    "GET /api/orders/0198a4e0-0000-7000-8000-000000000001",
    "GET /api/orders/0198a4e0-0000-7000-8000-000000000001/events",
    "POST /api/orders/0198a4e0-0000-7000-8000-000000000001/cancel",
    "GET /orders/0198a4e0-0000-7000-8000-000000000001",
    "GET /orders/0198a4e0-0000-7000-8000-000000000001/events",
    "POST /orders/0198a4e0-0000-7000-8000-000000000001/cancel",
    "POST /api/payments/webhooks/psp",
    "POST /api/identity/token",
    "GET /.well-known/jwks.json",
    "GET /api/admin/orders",
    "GET /health/ready",
    "GET /metrics",
]


def patterns(kind: str) -> list[tuple[re.Pattern[str], str]]:
    """Returns the patterns by which the edge knows this kind of a signed-in client's requests, and their services."""
    entries = EDGE.partition(f"$edge_{kind} {{")[2].partition("}\n")[0]
    found = re.findall(r'"~\^(?:1 )?(.+)" +(\w+);', entries)
    return [(re.compile("^" + pattern), service) for pattern, service in found]


def test_the_bounds_of_processes_are_documented() -> None:
    documented = {key: (row[5], bool(row[6])) for key, row in ROWS.items() if row[5] != "–"}
    assert documented == {key: (str(kind.limit), kind.from_edge) for key, kind in KINDS.items()}


def test_the_bounds_of_the_edge_are_documented() -> None:
    limits = dict(re.findall(r"limit_conn (\w+) (\d+);", EDGE))
    bounded = {(service, kind): limits[kind] for kind in ("buying", "browsing") for _, service in patterns(kind)}
    assert {key: row[4] for key, row in ROWS.items() if row[4] != "–"} == bounded


@pytest.mark.parametrize("call", NEVER_REFUSED)
def test_what_concerns_a_placed_order_and_the_health_of_a_process_has_no_bound(call: str) -> None:
    assert not [kind for kind in KINDS.values() if kind.pattern.fullmatch(call)]
    assert not [pattern for kind in ("buying", "browsing") for pattern, _ in patterns(kind) if pattern.search(call)]

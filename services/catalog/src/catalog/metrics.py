"""The metrics of catalog. docs/reference/telemetry.md explains each."""

from prometheus_client import Counter, Gauge

__all__ = ["REJECTED", "RESERVED", "reservations", "sold_out"]

RESERVED, REJECTED = "reserved", "rejected"

reservations = Counter("quayside_stock_reservations", "Orders for which stock was reserved, or was short", ["outcome"])
sold_out = Gauge("quayside_products_sold_out", "Products on sale without stock")

for outcome in (RESERVED, REJECTED):  # a counter that begins with 0 shows its first increase
    reservations.labels(outcome)

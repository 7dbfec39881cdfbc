"""Grades lab 12: RabbitMQ has lost the message on which an order waited, and yet the order is CONFIRMED."""

import sys

from shopctl.labs import Lab, Missing, looking

VOLUME = "quayside_rabbitmq"
WAITED = """
SELECT o.status, count(*) FROM orders o JOIN outbox_archive a ON a.subject = o.id::text
WHERE a.routing_key = 'payment.charge.v1' AND a.published_at < timestamptz 'BEGAN' + interval '1 s' AND NOT EXISTS (
    SELECT FROM order_history h
    WHERE h.order_id = o.id AND h.at < 'BEGAN' AND h.status NOT IN ('PENDING', 'RESERVED')
)
GROUP BY o.status ORDER BY o.status
"""
"""The orders whose charge RabbitMQ had confirmed, and nobody had handled, when it got a new volume.

Docker notes the second of that. RabbitMQ takes longer to start, so it has confirmed nothing within it.
"""
OPEN = """
SELECT status, count(*) FROM orders
WHERE status IN ('PENDING', 'RESERVED', 'CANCELLING', 'EXPIRING', 'REFUNDING') GROUP BY status ORDER BY status
"""


def audit_is_clean() -> None:
    looking.said(sys.executable, "-m", "shopctl", "audit", "--wait", "3")


lab = Lab()
lab.start("the shop runs in containers", remedy="make up", look=looking.shop_is_healthy_in_containers)
lab.start("the audit finds nothing", remedy=".venv/bin/shopctl reset --yes && make up", look=audit_is_clean)

lab.question("b", hint="Kill rabbitmq and place an order. What does the shop answer, and what becomes of the order?")
lab.question("b", hint="While rabbitmq is down: SELECT routing_key FROM outbox, in the database of order.")
lab.question("a", hint="Place an order twice with the same key, and count the orders.")
lab.question("b", hint="Place an order with the card tok_lost_reply, and read the provider's ledger.")
lab.question("b", hint="Who still has the message, and who notices that somebody else lost it?")


@lab.check(
    "the order from before the loss became CONFIRMED, and none is open",
    points=3,
    hint="Which message does it wait for? Nobody but its sender still has it; docs/runbooks/RabbitMQDown.md."
    " If it is CANCELLED or EXPIRED, start rabbitmq and payment, and go back to Break.",
)
def the_order_is_confirmed() -> None:
    if VOLUME not in looking.said("docker", "volume", "ls", "--quiet").split():
        raise Missing("RabbitMQ has no volume yet: start it")
    began = looking.said("docker", "volume", "inspect", "--format", "{{.CreatedAt}}", VOLUME)
    found = counted(WAITED.replace("BEGAN", began))
    if not found:
        raise Missing(f"RabbitMQ's volume is from {began}, and no order waited for its payment then")
    if "CONFIRMED" not in found:
        raise Missing(f"the message that RabbitMQ lost at {began} was for: {listed(found)}")
    if still_open := counted(OPEN):
        raise Missing(f"these orders are open: {listed(still_open)}")


def counted(query: str) -> dict[str, str]:
    """Return the number of orders that a query finds, by their status."""
    return dict(row.split("|") for row in looking.rows("order", query))


def listed(orders: dict[str, str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in orders.items())


@lab.check(
    "the audit finds nothing",
    points=2,
    hint="`make audit` prints a line for each invariant; docs/checkout.md. An archive still has what RabbitMQ lost.",
    after=the_order_is_confirmed,
)
def nothing_is_wrong() -> None:
    audit_is_clean()

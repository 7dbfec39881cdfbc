"""Grades lab 12: the broker has lost its data, and yet an order that was placed before is CONFIRMED."""

import sys

from shopctl.labs import Lab, Missing, looking

VOLUME = "quayside_rabbitmq"


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
    "an order that was placed before RabbitMQ lost its data became CONFIRMED after it",
    points=3,
    hint="Which message does it wait for? Nobody but its sender still has it; docs/runbooks/RabbitMQDown.md.",
)
def an_older_order_is_confirmed() -> None:
    lost_at = looking.said("docker", "volume", "inspect", "--format", "{{.CreatedAt}}", VOLUME)
    placed = (
        "SELECT o.status, count(*), count(*) FILTER (WHERE h.at > 'LOST') FROM orders o LEFT JOIN order_history h"
        " ON h.order_id = o.id AND h.status = 'CONFIRMED' WHERE o.created_at < 'LOST'"
        " AND (h.at IS NULL OR h.at > 'LOST') GROUP BY o.status ORDER BY o.status"
    )
    found = [row.split("|") for row in looking.rows("order", placed.replace("LOST", lost_at))]
    if not any(int(saved) for _, _, saved in found):
        waiting = ", ".join(f"{count} {status}" for status, count, _ in found)
        raise Missing(f"of the orders from before {lost_at}, these were not finished then: {waiting or 'none'}")


@lab.check("the audit finds nothing", points=2, hint="`make audit` prints a line for each invariant; docs/checkout.md.")
def nothing_is_wrong() -> None:
    an_older_order_is_confirmed()
    audit_is_clean()

"""The statuses of an order, as shopctl knows them. It imports no service; tests/contracts compares them with the model.

So the audit is independent: it finds an illegal step even if the order service allows it by mistake.
"""

__all__ = ["LEGAL", "OPEN", "UNDOING", "UNDONE"]

OPEN = ("PENDING", "RESERVED")
UNDOING = ("CANCELLING", "EXPIRING", "REFUNDING")
UNDONE = ("REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED", "REFUNDED")

LEGAL = {
    None: {"PENDING"},
    "PENDING": {"RESERVED", "REJECTED", "CANCELLING", "EXPIRING"},
    "RESERVED": {"CONFIRMED", "PAYMENT_FAILED", "CANCELLING", "EXPIRING"},
    "CONFIRMED": {"REFUNDING"},
    "CANCELLING": {"CANCELLED"},
    "EXPIRING": {"EXPIRED"},
    "REFUNDING": {"REFUNDED"},
}
"""The statuses that may follow each status."""

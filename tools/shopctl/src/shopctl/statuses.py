"""The order statuses that mean work in progress: shopctl imports no service, and tests/contracts compares them."""

__all__ = ["OPEN", "UNDOING"]

OPEN = ("PENDING", "RESERVED")
UNDOING = ("CANCELLING", "EXPIRING", "REFUNDING")

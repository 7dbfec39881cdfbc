"""A sandbox payment provider with its own ledger."""

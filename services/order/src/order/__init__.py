"""Orders and the checkout saga."""

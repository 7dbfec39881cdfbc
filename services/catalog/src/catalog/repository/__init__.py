"""Every query: `products` one at a time, `search` for lists, `stock` for stock and reservations."""

"""All queries: `products` for one product, `search` for lists, `stock` for stock and reservations."""

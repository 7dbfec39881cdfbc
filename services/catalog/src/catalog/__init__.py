"""Products, categories, search, stock and reservations."""

"""All queries: `products` for one product, `search` for lists, `stock` for stock and reservations.

`grams` and `spelling` prepare the words of a search, and `managed` is for the back office.
"""

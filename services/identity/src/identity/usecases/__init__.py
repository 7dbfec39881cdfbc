"""Use cases: accounts, their passwords, tokens, and the keys that sign them."""

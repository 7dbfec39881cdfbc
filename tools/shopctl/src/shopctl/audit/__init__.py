"""Checks the invariants of a quiet shop from outside: A1 to A10.

- `finding`: the result of one check
- `sources`: databases, ledger, broker and edge, from which the checks read
- `stock`, `money`, `orders`, `messages`: the checks
- `run`: all of them; `command`: `shopctl audit`
"""

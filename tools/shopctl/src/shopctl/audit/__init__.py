"""Checks the invariants of a quiet shop from outside: A1 to A10.

- `finding`: the result of one check
- `sources`: databases, ledger, broker and edge, from which the checks read
- `scope`: the pages of orders and events to look at: all, or those since the last audit
- `ledger`: the provider's entries by order; `temporary`: the file in which these and the attempts are
- `stock`, `money`, `attempts`, `orders`, `messages`: the checks
- `run`: all of them; `command`: `shopctl audit`
"""

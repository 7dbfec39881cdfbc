"""What must hold once the shop is quiet, checked from outside: A1 to A10.

- `finding`: what one check says
- `sources`: where the evidence is read
- `stock`, `money`, `orders`, `messages`: the checks
- `run`: all of them; `command`: `shopctl audit`
"""

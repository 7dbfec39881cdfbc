"""What the shop can do and what it costs, measured on this machine.

- `figures`: one measured number; `usage`: CPU time and memory of the shop's processes
- `load`: the load generator, a process of its own; `client`: how it is told what to send
- `checkout`, `hot_sku`, `reads`: what is measured
- `command`: `shopctl bench`
"""

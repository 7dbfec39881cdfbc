"""Measures the throughput and the cost of the shop on this machine.

- `figures`: one measured number; `usage`: CPU time and memory of the shop's processes
- `load`: the load generator, a separate process; `client`: starts it with requests
- `checkout`, `hot_sku`, `reads`: the measurements
- `command`: `shopctl bench`
"""

"""Measures the throughput and the cost of the shop on this machine.

- `figures`: one measured number; `usage`: CPU time and memory of the shop's processes; `counters`: what the stores did
- `load`: the load generator, a separate process; `client`: starts it with requests
- `checkout`, `hot_sku`, `reads`: the measurements
- `many_orders`: makes a shop large
- `compare`: measures the shop of another commit too; `command`: `shopctl bench`
"""

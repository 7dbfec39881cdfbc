"""Formulas that predict the shop, computed from its settings and measurements. `docs/models` explains them.

- `scheduling`, `balancing`, `availability`: the formulas, without I/O
- `settings`: what the charts ask of a cluster; `measured`: figures of this shop, with their sources
- `replicas`: real replicas behind the edge's policies, to compare
- `plots`: the pictures of the pages; `command`: `shopctl model`
"""

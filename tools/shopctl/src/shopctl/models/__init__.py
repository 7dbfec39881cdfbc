"""Formulas that predict the shop, computed from its settings and measurements. `docs/models` explains them.

- `scheduling`, `balancing`, `availability`, `capacity`: the formulas, without I/O
- `simulation`: orders on their way through the processes, where no formula is exact enough
- `settings`: what the charts ask of a cluster; `measured`: figures of this shop, with their sources
- `replicas`: real replicas behind the edge's policies, to compare
- `plots`: the pictures of the pages; `command`: `shopctl model`
"""

"""Use cases: placing an order (placing, pricing, deduplication), moving it through the saga, and watching it (feed)."""

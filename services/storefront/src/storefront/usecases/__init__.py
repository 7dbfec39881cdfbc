"""Use cases: what the pages need of the other services, and sessions."""

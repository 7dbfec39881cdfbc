"""The order database's revisions."""

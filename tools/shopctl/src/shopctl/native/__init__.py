"""The shop as processes of this machine, without Docker."""

"""Valkey's users: each service may only use keys that begin with its own name. They are lines of valkey.conf."""

from collections.abc import Mapping

from shopctl.services import Services

__all__ = ["RIGHTS", "lines"]

RIGHTS = "~{name}:* resetchannels +@all -@admin -@dangerous -scan -randomkey -script -function"
"""The last four would show the names of all keys, or remove the scripts of another service."""


def lines(services: Services, passwords: Mapping[str, str]) -> str:
    """Returns a line for each service with Valkey. `passwords` has those of these services; they contain no space."""
    return "".join(f"user {name} on >{passwords[name]} {RIGHTS.format(name=name)}\n" for name in services.valkey_users)

"""Valkey's users: each service may only use keys that begin with its own name. They are lines of valkey.conf."""

from collections.abc import Mapping

from shopctl.services import Services

__all__ = ["EXPORTER", "EXPORTER_RIGHTS", "RIGHTS", "lines"]

RIGHTS = "~{name}:* resetchannels +@all -@admin -@dangerous -scan -randomkey -script -function"
"""The last four would show the names of all keys, or remove the scripts of another service."""

EXPORTER = "exporter"
EXPORTER_RIGHTS = "resetkeys resetchannels -@all +ping +info +slowlog|get +slowlog|len +latency|latest +client|setname"
"""What the exporter for Prometheus needs: figures of the server, and no key."""


def lines(services: Services, passwords: Mapping[str, str]) -> str:
    """Returns a line for each service with Valkey, and one for the exporter; their `passwords` contain no space."""
    rights = {name: RIGHTS.format(name=name) for name in services.valkey_users} | {EXPORTER: EXPORTER_RIGHTS}
    return "".join(f"user {name} on >{passwords[name]} {its}\n" for name, its in rights.items())

"""Environment variables of shopctl. An invalid value is an error that says which values are valid."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from chassis.local.processes import StartError

__all__ = ["address", "checked", "flag", "port_offset", "text"]


def text(name: str) -> str | None:
    """The variable's value, or the content of the file that NAME_FILE names; None if neither is set."""
    if value := os.environ.get(name):
        return value
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise StartError(f"{name}_FILE: {path} cannot be read: {reason}.") from None


def address(name: str, like: str) -> str | None:
    """A URL with a host and the scheme of `like`, or its TLS variant. Errors do not show it: it may hold a password."""
    return checked(name, text(name), like)


def checked(name: str, value: str | None, like: str) -> str | None:
    """Such a URL from elsewhere, which `name` names."""
    if value is None:
        return None
    scheme = like.partition(":")[0]
    try:
        url = urlsplit(value)
        good = url.scheme in (scheme, f"{scheme}s") and url.hostname and url.port != 0
    except ValueError:
        good = False
    if not good:
        raise StartError(f"{name} must look like {like}.")
    return value.rstrip("/")


def flag(name: str) -> bool:
    """Whether the variable is 1. It may be 0, empty, or not set."""
    value = os.environ.get(name) or "0"
    if value not in ("0", "1"):
        raise StartError(f"{name} is {value!r}; it must be 0 or 1.")
    return value == "1"


def port_offset(highest: int) -> int:
    """SHOP_PORT_OFFSET, with which `highest` is still a valid port."""
    value, most = os.environ.get("SHOP_PORT_OFFSET", "").strip() or "0", 65_535 - highest
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= most):
        raise StartError(f"SHOP_PORT_OFFSET is {value!r}; it must be a whole number from 0 to {most}.")
    return int(value)

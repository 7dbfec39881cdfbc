"""Checks of option values beyond their type."""

import math
import re
from datetime import UTC, datetime

import typer

__all__ = ["duration", "finite", "moment"]

LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def duration(text: str) -> float:
    """Seconds from `90`, `90s`, `3m`, `2m30s` or `1h`, up to a day."""
    found = LENGTH.fullmatch(text.strip().lower())
    hours, minutes, rest = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    seconds = 3600 * hours + 60 * minutes + rest
    if not (text.strip() and found) or seconds > 86_400:
        raise typer.BadParameter(f"{text!r} is not a duration up to a day, such as 90s, 3m or 2m30s.")
    return seconds


def moment(text: str) -> datetime:
    """A past time in ISO 8601 or RFC 3339: a date, or date and time; UTC without `Z` or an offset."""
    try:
        given = datetime.fromisoformat(text.strip().upper())
        time = (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time. Write it like 2026-11-24T10:00:00Z, 2026-11-24T11:00:00+01:00 or 2026-11-24."
        ) from None
    if time > datetime.now(UTC):
        raise typer.BadParameter(f"{text} is in the future. Without Z or an offset, a time is UTC.")
    return time


def finite(value: float) -> float:
    """A finite number: `nan` is neither below a minimum nor above a maximum."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number.")
    return value

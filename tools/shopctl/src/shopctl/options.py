"""What an option's value may be, beyond what its type says."""

import math
from datetime import UTC, datetime

import typer

__all__ = ["finite", "moment"]


def moment(text: str) -> datetime:
    """A time of the past in ISO 8601 or RFC 3339: a date, or date and time, with `Z`, an offset, or in UTC."""
    try:
        given = datetime.fromisoformat(text.strip().upper())
        time = (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time; write it like 2026-11-24T10:00:00Z, 2026-11-24T11:00:00+01:00 or 2026-11-24."
        ) from None
    if time > datetime.now(UTC):
        raise typer.BadParameter(f"{text} is still to come; without Z or an offset it is UTC.")
    return time


def finite(value: float) -> float:
    """A number that can be counted to: `nan` is neither below a minimum nor above a maximum."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of anything.")
    return value

"""Reads the answers of services: the expected data, or the problem that they report."""

import re
from typing import Any, TypeVar

import msgspec

from chassis.errors import Unavailable
from chassis.http import Response
from storefront.usecases.remote import Refused

__all__ = ["bearer", "decoded"]

T = TypeVar("T")


def decoded(response: Response, kind: type[T], service: str) -> T:
    """Returns the body of a 2xx. Raises Refused for a problem, and Unavailable for what cannot be understood."""
    try:
        if 200 <= response.status < 300:
            return msgspec.json.decode(response.body, type=kind)
        problem = msgspec.json.decode(response.body, type=dict[str, Any])
        slug = str(problem.pop("type")).rpartition("/")[2]
        title, detail = str(problem.pop("title")), str(problem.pop("detail"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise Unavailable(
            f"{service}-unavailable",
            f"The response of the {service} service cannot be read",
            f"It answered {response.status}: {error}; try again later.",
        ) from error
    problem.pop("status", None)
    retry_after = response.headers.get("Retry-After", "")
    seconds = int(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
    refusal = Refused(response.status, slug, title, detail, retry_after=seconds)
    refusal.members.update(problem)  # not as arguments, because they may have any name
    raise refusal


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

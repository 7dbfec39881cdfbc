"""Errors that use cases raise, independent of any framework. The client gets them as problems (RFC 9457).

Without a common format, each route would invent its own, and clients would parse prose. `test_app.py` shows the format.
"""

from typing import Any, ClassVar

__all__ = [
    "Conflict",
    "Forbidden",
    "Invalid",
    "Malformed",
    "NotFound",
    "PreconditionFailed",
    "Problem",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
]

TYPE_BASE = "https://quayside.example/problems/"


class Problem(Exception):
    """An error that is reported to the client.

    `slug` identifies the case for programs and `title` for people; `detail` says what to do. Further keyword arguments
    become members of the problem document. `retry_after` is in seconds.
    """

    status: ClassVar[int] = 500

    def __init__(self, slug: str, title: str, detail: str, *, retry_after: int | None = None, **members: Any) -> None:
        super().__init__(f"{slug}: {title}")
        self.slug = slug
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.members = members

    def document(self) -> dict[str, Any]:
        """Returns the body of the response: `{type, title, status, detail, …members}`."""
        return {
            "type": TYPE_BASE + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }


class Malformed(Problem):
    status = 400


class Unauthenticated(Problem):
    status = 401


class Forbidden(Problem):
    status = 403


class NotFound(Problem):
    status = 404


class Conflict(Problem):
    status = 409


class PreconditionFailed(Problem):
    status = 412


class Invalid(Problem):
    status = 422


class TooManyRequests(Problem):
    status = 429


class Unavailable(Problem):
    """A dependency does not respond, or there is no capacity. The same call may succeed later."""

    status = 503

    def __init__(self, slug: str, title: str, detail: str, *, retry_after: int = 1, **members: Any) -> None:
        super().__init__(slug, title, detail, retry_after=retry_after, **members)

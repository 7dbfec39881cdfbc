"""An answer of the shop, and what it means to a shopper."""

from typing import Any

import msgspec
from locust.contrib.fasthttp import FastResponse

__all__ = ["Answer", "read"]


class Answer(msgspec.Struct, frozen=True):
    """An answer after `ms` milliseconds. `data` is the JSON, or the text of a page.

    `status` is 0 without an answer. `slug` names the problem: that of problem+json, or the reason why there is none.
    """

    status: int
    ms: float
    data: Any = None
    slug: str = ""
    page: bool = False
    etag: str = ""
    location: str = ""
    retry_after: int | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400

    @property
    def refused(self) -> bool:
        """Whether the shop clearly said no, or to come again later."""
        clear = bool(self.slug) or self.page
        return clear and (self.status in (409, 422) or (self.status in (429, 503) and self.retry_after is not None))

    @property
    def later(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429, 502, 503, 504) or self.slug == "in-flight"

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.slug}".strip()


def read(response: FastResponse, ms: float, into: Any = Any) -> Answer:
    """Reads a response; its JSON becomes `into`, if it is a success."""
    if not response.status_code or response.headers is None:
        return Answer(0, ms, slug=type(getattr(response, "error", None)).__name__)

    def header(name: str) -> str:
        value = response.headers.get(name) if response.headers else None
        return value if isinstance(value, str) else ""

    status, content, kind, retry = (
        response.status_code,
        response.content or b"",
        header("content-type"),
        header("retry-after"),
    )
    data: Any = None
    slug = ""
    try:
        if "problem+json" in kind:
            data = msgspec.json.decode(content)
            slug = str(data["type"]).rpartition("/")[2]
        elif "json" in kind:
            data = msgspec.json.decode(content, type=into)
        elif kind.startswith("text/"):
            data = content.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError):
        status, slug = 0, "unreadable"
    return Answer(
        status,
        ms,
        data,
        slug,
        page=kind.startswith("text/html"),
        etag=header("etag"),
        location=header("location"),
        retry_after=int(retry) if retry.isdigit() else None,
    )

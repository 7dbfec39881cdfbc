"""Forms: their fields as text, and the answer to a POST."""

from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Request
from starlette.responses import RedirectResponse

from chassis.errors import Invalid

__all__ = ["SECRET", "Form", "asked", "form_of", "here", "local", "see_other"]

CONTENT_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 500
SECRET = frozenset({"password", "current", "new"})
"""The fields for passwords. No page contains what was typed into them."""


class Form(dict[str, str]):
    """The fields of a form by name; of a name that comes twice, the last one."""

    def text(self, name: str) -> str:
        """Returns a field without spaces around it; an absent one is empty."""
        return self.get(name, "").strip()

    def number(self, name: str) -> int | None:
        """Returns a field of decimal digits as a number, or None."""
        given = self.text(name)
        return int(given) if given.isascii() and given.isdigit() and len(given) <= 12 else None


async def form_of(request: Request) -> Form:
    """Reads a form's fields. Raises Invalid for another content type, for too many fields, and for a wrong encoding."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await request.body()  # the chassis refuses one of more than 64 KB
    try:
        if raw and given != CONTENT_TYPE:
            raise ValueError
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Invalid(
            "invalid-form", "The form could not be read", "Go back, load the page again, and retry."
        ) from None
    return Form(pairs)


def see_other(path: str) -> RedirectResponse:
    """Returns the answer to a POST that was carried out: the browser then gets `path` (RFC 9110, 15.4.4)."""
    return RedirectResponse(path, 303)


def asked(request: Request) -> str:
    """Returns the requested path with its query."""
    query = f"?{request.url.query}" if request.url.query else ""
    return local(quote(request.scope["path"]) + query)


def here(request: Request) -> str:
    """Returns the page that the visitor looks at: the requested one, or after a POST the one with the form."""
    if request.method == "GET":
        return asked(request)
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    if page.netloc != request.headers.get("host"):
        return "/"
    return local(page.path + (f"?{page.query}" if page.query else ""))


def local(path: str, otherwise: str = "/") -> str:
    """Returns a path of this shop to return to; for anything that may lead elsewhere, `otherwise`.

    Browsers read `//host`, `/\\host` and control characters in ways of their own, so all of these are refused.
    """
    if not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable() or "\\" in path:
        return otherwise
    parts = urlsplit(path)
    return path if not parts.scheme and not parts.netloc else otherwise
